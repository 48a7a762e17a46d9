/* All factors are alike and the sums below 2^23: the class of the largest logit has the largest sum. */
int net_argmax(const int32_t *raw) {
    int best = 0;
    for (int i = 1; i < NET_CLASSES; i++)
        if (raw[i] > raw[best]) best = i;
    return best;
}
