// Advantage estimators: what one group of rewards (the samples of one prompt) says about each of its samples. Pure functions.

export const estimators = ["reinforce", "rloo"] as const;

/**
 * - `reinforce`: the reward itself, no baseline (the paper's and the published code's choice).
 * - `rloo`: the reward minus the mean reward of the prompt's other samples (Ahmadian et al. 2024, arXiv 2402.14740): unbiased, and a
 *   prompt whose samples are all right or all wrong says nothing.
 */
export type Estimator = (typeof estimators)[number];

/**
 * Advantages of one prompt's samples, in their order.
 *
 * @param rewards one finite number per sample; `rloo` needs at least two
 * @example advantages([1, -1, -1], "rloo") // [2, -1, -1]
 */
export function advantages(rewards: readonly number[], estimator: Estimator): number[] {
  if (estimator === "reinforce") return [...rewards];
  const others = rewards.length - 1;
  // Said by equality, not by the sum: rounding would leave a tiny advantage on equal rewards, and the group would not be skipped.
  if (rewards.every((reward) => reward === rewards[0])) return rewards.map(() => 0);
  const sum = rewards.reduce((a, b) => a + b, 0);
  return rewards.map((reward) => reward - (sum - reward) / others);
}
