/* What is said, and to whom. */
const char *greeting(void);
