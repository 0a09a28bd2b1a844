/** Findings as text lines, empty when all is well. `folder` is native/ or a copy of it in a test. */
export function checkNativeLayers(folder: string): string[];
