/**
 * The version of this vipkeeper, as every command, the status and the metrics tell it. Equal to
 * package.json's, which a test holds: reading that file would tie the code to where it lies.
 */
export const VERSION = '0.1.0';
