/* CRC-32 of zlib, PNG and Ethernet, four bits at a time: crc of all bytes so far, 0 at the beginning. Volatile: what lies
 * in memory now, not what the compiler knows of a constant. */
#if defined __GNUC__
__attribute__((noinline)) /* called for every array */
#endif
static uint32_t crc32(uint32_t crc, const void *data, uint32_t bytes) {
    static const uint32_t table[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
                                       0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
                                       0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
    const volatile uint8_t *byte = data;
    crc = ~crc;
    for (uint32_t i = 0; i < bytes; i++) {
        crc ^= byte[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}
