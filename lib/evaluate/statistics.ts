// What may be said from counts: Wilson's interval for a share and McNemar's exact test for two systems on the same items. Pure functions.
import { invalidOption } from "../errors.js";

/** A share with its 95 % interval. */
export interface Proportion {
  readonly right: number;
  readonly total: number;
  /** right / total; 0 when total is 0. */
  readonly accuracy: number;
  /** Wilson's score interval at 95 %, lower and upper bound in [0, 1]. */
  readonly interval: readonly [number, number];
}

const Z95 = 1.959963984540054;

/**
 * Wilson's score interval (Wilson 1927): unlike ±1.96·σ it stays inside [0, 1] and is right for few items and for 0 or all right.
 *
 * @param z quantile of the normal distribution; default 95 %
 * @returns [lower, upper]; [0, 1] when total is 0
 * Throws `ERR_T2_INVALID_OPTION` when the counts are not whole or right exceeds total.
 * @example wilson(8, 10) // [0.490, 0.943]
 */
export function wilson(right: number, total: number, z: number = Z95): [number, number] {
  if (!Number.isSafeInteger(total) || total < 0) throw invalidOption("total", "a whole number ≥ 0", total);
  if (!Number.isSafeInteger(right) || right < 0 || right > total) throw invalidOption("right", `a whole number from 0 to ${total}`, right);
  if (total === 0) return [0, 1];
  const share = right / total;
  const z2 = z * z;
  const centre = (share + z2 / (2 * total)) / (1 + z2 / total);
  const half = (z / (1 + z2 / total)) * Math.sqrt((share * (1 - share)) / total + z2 / (4 * total * total));
  // At the ends the formula gives the bound exactly, but for rounding.
  return [right === 0 ? 0 : Math.max(0, centre - half), right === total ? 1 : Math.min(1, centre + half)];
}

/** The share of `right` in `total` with its interval. */
export function proportion(right: number, total: number): Proportion {
  return { right, total, accuracy: total === 0 ? 0 : right / total, interval: wilson(right, total) };
}

/** log of n over k. */
function logChoose(n: number, k: number): number {
  let sum = 0;
  for (let i = 1; i <= k; i++) sum += Math.log((n - k + i) / i);
  return sum;
}

/**
 * McNemar's exact test, two-sided: could two systems that err on different items be equally good?
 *
 * @param onlyFirst items that only the first system had right
 * @param onlySecond items that only the second had right
 * @returns the p-value, in (0, 1]
 * @example mcnemar(2, 10) // 0.0386
 */
export function mcnemar(onlyFirst: number, onlySecond: number): number {
  for (const [name, count] of [
    ["onlyFirst", onlyFirst],
    ["onlySecond", onlySecond],
  ] as const) {
    if (!Number.isSafeInteger(count) || count < 0) throw invalidOption(name, "a whole number ≥ 0", count);
  }
  const n = onlyFirst + onlySecond;
  const k = Math.min(onlyFirst, onlySecond);
  if (2 * k === n) return 1;
  let tail = 0;
  for (let i = 0; i <= k; i++) tail += Math.exp(logChoose(n, i) - n * Math.LN2);
  return Math.min(1, 2 * tail);
}
