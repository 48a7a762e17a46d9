/* What a window sees along one axis: the pixels first .. last - 1, and how many an average counts. */
typedef struct {
    int first, last, counted;
} window_t;
