const char *net_layer_name(int i) {
    static const char names[] = /* one behind the other: no table of pointers */
        "@NAMES@";
    const char *name = names;
    if (i < 0 || i >= NET_LAYERS) return "";
    for (; i > 0; i--)
        while (*name++ != 0) {}
    return name;
}
