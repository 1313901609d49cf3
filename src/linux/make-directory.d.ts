export declare function makeDirectory(path: string): void;
