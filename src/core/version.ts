/**
 * The version of this vipkeeper, as every command, the status and the metrics tell it. Equal to
 * package.json's, which a test holds: reading that file would tie the code to where it lies.
 */
export const VERSION = '0.1.0';

declare const VIPKEEPER_BUILD: string | undefined;

/**
 * Identity of the code of a bundle (build/bundle.mjs puts it in): equal only if every file that
 * the processes consist of is equal. Null where the code runs as compiled, file by file.
 */
export const BUILD: string | null = typeof VIPKEEPER_BUILD === 'undefined' ? null : VIPKEEPER_BUILD;
