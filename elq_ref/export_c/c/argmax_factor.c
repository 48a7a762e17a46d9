/* The logit of class i: rounded to float once, so that two that are equal there are equal here. */
static float logit(const int32_t *raw, int i) { return (float)((double)net_factor[i] * (double)raw[i]); }

int net_argmax(const int32_t *raw) {
    int best = 0;
    for (int i = 1; i < NET_CLASSES; i++)
        if (logit(raw, i) > logit(raw, best)) best = i;
    return best;
}
