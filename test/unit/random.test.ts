// Philox against the reference implementation's known answers, and what the generator promises on top of it.
import t from "tap";
import { hashString, philox4x32, Random } from "../../lib/util/random.js";

t.test("known answers of Random123 (kat_vectors, philox 4x32 10)", async (t) => {
  t.same([...philox4x32([0, 0, 0, 0], [0, 0])], [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
  const ones = 0xffffffff;
  t.same([...philox4x32([ones, ones, ones, ones], [ones, ones])], [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]);
  const pi = philox4x32([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0]);
  t.same([...pi], [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1]);
});

const draws = (random: Random, count = 50) => Array.from({ length: count }, () => random.nextUint32());

t.test("seed and stream decide; streams differ", async (t) => {
  t.same(draws(new Random(3, "a")), draws(new Random(3, "a")));
  const streams = [
    new Random(3, "a"),
    new Random(3, "b"),
    new Random(4, "a"),
    new Random(3),
    new Random(3, 1),
    new Random(3, "1"),
    new Random(-3),
  ];
  t.equal(new Set(streams.map((random) => draws(random).join())).size, streams.length);
  const wide = new Random(2 ** 40 + 3, "a");
  t.not(wide.nextUint32(), new Random(3, "a").nextUint32(), "the seed's high bits count");
});

t.test("goes on from a state that went through JSON, at any position in a block", async (t) => {
  for (let drawn = 0; drawn < 9; drawn++) {
    const random = new Random(11, "x");
    draws(random, drawn);
    const state = JSON.parse(JSON.stringify(random.state()));
    t.same(state, { seed: 11, stream: "x", counter: drawn });
    t.same(draws(Random.from(state)), draws(random));
  }
});

t.test("distributions", async (t) => {
  const random = new Random(1, "distributions");
  const n = 60000;
  const counts = [0, 0, 0, 0, 0, 0];
  for (let i = 0; i < n; i++) counts[random.int(6)]! += 1;
  for (const count of counts) t.ok(Math.abs(count - n / 6) < 5 * Math.sqrt(n / 6), `${count} of ${n}`);
  let sum = 0;
  let squares = 0;
  let floats = 0;
  for (let i = 0; i < n; i++) {
    const x = random.normal();
    sum += x;
    squares += x * x;
    const u = random.float();
    if (u < 0 || u >= 1) t.fail(`float ${u}`);
    floats += u;
  }
  t.ok(Math.abs(sum / n) < 5 / Math.sqrt(n), "mean 0");
  t.ok(Math.abs(squares / n - 1) < 5 * Math.sqrt(2 / n), "variance 1");
  t.ok(Math.abs(floats / n - 0.5) < 5 / Math.sqrt(12 * n), "mean of the uniform draws");
});

t.test("shuffle keeps the items and the input; choice takes one of them", async (t) => {
  const random = new Random(5);
  const items = [1, 2, 3, 4];
  const orders = new Set<string>();
  for (let i = 0; i < 2000; i++) {
    const order = random.shuffle(items);
    orders.add(order.join());
  }
  t.equal(orders.size, 24, "every order occurs, and nothing that is no order");
  t.ok([...orders].every((order) => order.split(",").toSorted().join() === "1,2,3,4"));
  t.same(items, [1, 2, 3, 4]);
  t.ok(items.includes(random.choice(items)));
});

t.test("bad arguments are named", async (t) => {
  const code = { code: "ERR_T2_INVALID_OPTION" };
  t.throws(() => new Random(0.5), code);
  t.throws(() => new Random(1, 0.5), code);
  t.throws(() => Random.from({ seed: 1, stream: 0, counter: -1 }), code);
  for (const n of [0, -1, 1.5, 2 ** 32 + 1, Number.NaN]) t.throws(() => new Random(1).int(n), code);
  t.throws(() => new Random(1).choice([]), code);
});

t.test("hashString spreads", async (t) => {
  const classes = new Array<number>(16).fill(0);
  for (let i = 0; i < 16000; i++) classes[hashString(`key ${i}`) % 16]! += 1;
  for (const count of classes) t.ok(Math.abs(count - 1000) < 160, String(count));
});
