// Runs the code answers of the micro tasks: integers, x, + - * %, unary minus and parentheses, with Python's meaning. Own parser, no eval.

/** A compiled expression: its value at x, or undefined where Python would fail (mod 0) or the number leaves the exact range. */
export type Expression = (x: number) => number | undefined;

const longestSource = 200;
const deepest = 32;

function exact(value: number): number | undefined {
  // Adding 0 turns −0 into 0.
  return Number.isSafeInteger(value) ? value + 0 : undefined;
}

/** Python's remainder: it has the sign of the divisor. */
export function pythonModulo(a: number, b: number): number | undefined {
  if (b === 0) return undefined;
  const remainder = a % b;
  return exact(remainder !== 0 && remainder < 0 !== b < 0 ? remainder + b : remainder);
}

const operations: Readonly<Record<string, (a: number, b: number) => number | undefined>> = {
  "+": (a, b) => exact(a + b),
  "-": (a, b) => exact(a - b),
  "*": (a, b) => exact(a * b),
  "%": pythonModulo,
};

function combine(operator: string, left: Expression, right: Expression): Expression {
  const apply = operations[operator] as (a: number, b: number) => number | undefined;
  return (x) => {
    const a = left(x);
    const b = right(x);
    return a === undefined || b === undefined ? undefined : apply(a, b);
  };
}

/** Numbers without leading zeros, as in Python, x, signs; undefined when anything else occurs. */
function tokenise(source: string): string[] | undefined {
  const tokens = source.match(/\d+|[A-Za-z_]\w*|\S/g) ?? [];
  const known = (token: string) => (/^\d/.test(token) ? /^(0|[1-9]\d{0,14})$/.test(token) : /^[x+\-*%()]$/.test(token));
  return tokens.length > 0 && tokens.every(known) ? tokens : undefined;
}

class Parser {
  readonly #tokens: readonly string[];
  #position = 0;
  #depth = 0;

  constructor(tokens: readonly string[]) {
    this.#tokens = tokens;
  }

  whole(): Expression | undefined {
    const expression = this.#sum();
    return this.#position === this.#tokens.length ? expression : undefined;
  }

  #accept(...wanted: readonly string[]): string | undefined {
    const token = this.#tokens[this.#position];
    if (token === undefined || !wanted.includes(token)) return undefined;
    this.#position++;
    return token;
  }

  /** operand (operator operand)*, from left to right. */
  #chain(operand: () => Expression | undefined, ...operators: readonly string[]): Expression | undefined {
    let left = operand();
    while (left !== undefined) {
      const operator = this.#accept(...operators);
      if (operator === undefined) return left;
      const right = operand();
      left = right && combine(operator, left, right);
    }
    return undefined;
  }

  #sum(): Expression | undefined {
    return this.#chain(() => this.#product(), "+", "-");
  }

  #product(): Expression | undefined {
    return this.#chain(() => this.#signed(), "*", "%");
  }

  #signed(): Expression | undefined {
    let negative = false;
    for (let sign = this.#accept("-", "+"); sign !== undefined; sign = this.#accept("-", "+")) negative = negative !== (sign === "-");
    const value = this.#atom();
    return negative && value ? combine("-", () => 0, value) : value;
  }

  #atom(): Expression | undefined {
    if (this.#accept("(") !== undefined) {
      if (++this.#depth > deepest) return undefined;
      const inner = this.#sum();
      this.#depth--;
      return this.#accept(")") === undefined ? undefined : inner;
    }
    const token = this.#tokens[this.#position];
    if (token === undefined || !/^[x\d]/.test(token)) return undefined;
    this.#position++;
    const constant = Number(token);
    return token === "x" ? (x) => x : () => constant;
  }
}

/** Compiles an expression of the restricted language; undefined when it is anything else, too long (200 characters) or too deep (32). */
export function parseExpression(source: string): Expression | undefined {
  if (source.length > longestSource) return undefined;
  const tokens = tokenise(source);
  return tokens && new Parser(tokens).whole();
}

/** The function a completion ends with, `def f(x): return …`; undefined when there is none or it is not of the restricted language. */
export function parseFunction(completion: string): { name: string; body: Expression } | undefined {
  const start = completion.lastIndexOf("def ");
  const match = start < 0 ? null : /^def ([fgh])\(x\): return (.+)$/.exec(completion.slice(start).trimEnd());
  const body = match?.[2] === undefined ? undefined : parseExpression(match[2]);
  return match?.[1] === undefined || body === undefined ? undefined : { name: match[1], body };
}

const inputs: readonly number[] = Array.from({ length: 61 }, (_, index) => index - 20);

/** Whether both texts define a function of the same name with the same values from −20 to 40. */
export function sameFunction(completion: string, reference: string): boolean {
  const actual = parseFunction(completion);
  const expected = parseFunction(reference);
  if (actual === undefined || expected === undefined || actual.name !== expected.name) return false;
  return inputs.every((x) => {
    const value = actual.body(x);
    return value !== undefined && value === expected.body(x);
  });
}
