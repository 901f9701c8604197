export declare const bundleName: (file: string, length: number) => string
