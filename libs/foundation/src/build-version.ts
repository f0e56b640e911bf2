/** Of this build, as its packages have it. What refuses another version names both. */
export const BUILD_VERSION = '0.2.0'
