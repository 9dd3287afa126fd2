/* tokenizers.c - how fast a tokenizer opens and encodes, for bench/tokenizers.py.
 *
 *     bench_tokenizers TOKENIZER TEXT THREADS ROUNDS
 *
 * prints one line of JSON: the best of ROUNDS of each, which on a busy machine is what the code
 * can do. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/file.h"
#include "trireme/graph.h"
#include "trireme/text.h"

/* Processor time of the process: of one thread, time a core worked for it, whoever else runs; of
 * several, the sum. */
static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double seconds_since(double start) {
    return now_s() - start;
}

static int fail(const tri_error *err) {
    fprintf(stderr, "bench_tokenizers: %s\n", err->message);
    return 1;
}

int main(int argc, char **argv) {
    tri_error err = {0};
    tri_file_map text;
    if (argc != 5) {
        fprintf(stderr, "usage: bench_tokenizers TOKENIZER TEXT THREADS ROUNDS\n");
        return 2;
    }
    int threads = atoi(argv[3]), rounds = atoi(argv[4]);
    if (tri_file_map_open(&text, argv[2], &err)) return fail(&err);
    double load_s = 1e9, encode_s = 1e9, decode_s = 1e9;
    int32_t n_ids = 0;
    tri_tokenizer *t = NULL;
    for (int i = 0; i < rounds; i++) {
        tri_tokenizer_close(t);
        double start = now_s();
        if (tri_tokenizer_open(&t, argv[1], &err)) return fail(&err);
        double s = seconds_since(start);
        load_s = s < load_s ? s : load_s;
    }
    for (int i = 0; i < rounds; i++) {
        int32_t *ids;
        char *out;
        size_t n;
        const tri_encode_options options = {
            .struct_size = sizeof options, .parse_special = true, .n_threads = threads};
        double start = now_s();
        if (tri_tokenizer_encode(
                t, (const char *)text.data, (size_t)text.n_bytes, &options, &ids, &n_ids, &err)) {
            return fail(&err);
        }
        double s = seconds_since(start);
        encode_s = s < encode_s ? s : encode_s;
        start = now_s();
        if (tri_tokenizer_decode(t, ids, n_ids, false, &out, &n, &err)) return fail(&err);
        s = seconds_since(start);
        decode_s = s < decode_s ? s : decode_s;
        tri_free(ids);
        tri_free(out);
    }
    printf("{\"load_s\": %.6f, \"encode_s\": %.6f, \"decode_s\": %.6f, \"n_ids\": %d, \"n_bytes\": "
           "%lld}\n",
        load_s, encode_s, decode_s, n_ids, (long long)text.n_bytes);
    tri_tokenizer_close(t);
    tri_file_map_close(&text);
    return 0;
}
