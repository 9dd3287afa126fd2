#include "text/base64.h"

static int32_t value_of(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool tri_base64_decode(tri_str text, char *out, size_t *n) {
    if (text.len % 4 != 0) return false;
    size_t n_pad = 0, n_out = 0;
    while (n_pad < 2 && n_pad < text.len && text.ptr[text.len - 1 - n_pad] == '=')
        n_pad++;
    uint32_t bits = 0;
    for (size_t i = 0; i < text.len; i++) {
        int32_t value = i < text.len - n_pad ? value_of(text.ptr[i]) : 0;
        if (value < 0) return false;
        bits = bits << 6 | (uint32_t)value;
        if (i % 4 != 3) continue;
        out[n_out++] = (char)(bits >> 16 & 0xFF);
        out[n_out++] = (char)(bits >> 8 & 0xFF);
        out[n_out++] = (char)(bits & 0xFF);
        bits = 0;
    }
    *n = n_out - n_pad;
    return true;
}
