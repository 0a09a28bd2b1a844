export interface Kernel {
  source: string;
  /** The plain name; null for a function that was not inlined. */
  kernel: string | null;
  name: string;
  architecture: number;
  registers?: number;
  shared?: number;
  stack: number;
  spillStores: number;
  spillLoads: number;
}

/** The kernels in the text that `ptxas -v` printed for one source. */
export function kernelsIn(source: string, report: string): Kernel[];
export function table(kernels: readonly Kernel[], architectures: readonly number[]): string;
