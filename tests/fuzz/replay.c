/* replay.c - runs a fuzz target over the files of a corpus directory, each also cut short and with
 * bytes flipped: the smoke run of builds without libFuzzer. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void feed(const uint8_t *data, size_t n) {
    /* A copy of exactly n bytes, so that AddressSanitizer sees one byte too far. */
    uint8_t *copy = malloc(n ? n : 1);
    if (!copy) abort();
    memcpy(copy, data, n);
    LLVMFuzzerTestOneInput(copy, n);
    free(copy);
}

static int replay_file(const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f) return 0;
    static uint8_t data[1 << 20];
    size_t n = fread(data, 1, sizeof data, f);
    fclose(f);
    feed(data, n);
    uint32_t random = 2463534242u;
    for (int i = 0; i < 64; i++) {
        random ^= random << 13, random ^= random >> 17, random ^= random << 5;
        if (n == 0) break;
        size_t at = random % n;
        uint8_t old = data[at];
        data[at] = (uint8_t)(random >> 24);
        feed(data, n);
        data[at] = old;
        feed(data, at);
    }
    return 1;
}

int main(int argc, char **argv) {
    int n_files = 0;
    for (int i = 1; i < argc; i++) {
        DIR *dir = opendir(argv[i]);
        if (!dir) {
            n_files += replay_file(argv[i]);
            continue;
        }
        for (struct dirent *e; (e = readdir(dir));) {
            char path[4096];
            if (e->d_name[0] == '.') continue;
            snprintf(path, sizeof path, "%s/%s", argv[i], e->d_name);
            n_files += replay_file(path);
        }
        closedir(dir);
    }
    printf("%d files replayed\n", n_files);
    return n_files ? 0 : 1;
}
