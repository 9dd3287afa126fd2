/* two_engines.c - two engines in one process, two sequences in each, all four at once.
 *
 * two_engines ENGINE_A ENGINE_B N < PROMPTS      four lines of token ids: A, A, B, B
 *
 * Prints the N tokens of each sequence as a line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <trireme/engine.h>
#include <trireme/executor.h>

enum { N_ENGINES = 2, N_EACH = 2, MAX_PROMPT = 512 };

typedef struct side {
    tri_engine *engine;
    tri_executor *executor;
    uint64_t ids[N_EACH];
} side;

static tri_status open_side(side *s, const char *dir, tri_error *err) {
    tri_engine_options options = {.struct_size = sizeof options};
    tri_executor_config config = {
        .struct_size = sizeof config, .max_batch_size = N_EACH, .n_threads = 2};
    tri_status rc = tri_engine_open(&s->engine, dir, &options, err);
    if (!rc) rc = tri_executor_create(&s->executor, s->engine, &config, err);
    return rc;
}

static tri_status enqueue(side *s, int i, char *line, int32_t n_tokens, tri_error *err) {
    int32_t prompt[MAX_PROMPT], n = 0;
    for (char *word = strtok(line, " \n"); word && n < MAX_PROMPT; word = strtok(NULL, " \n"))
        prompt[n++] = (int32_t)strtol(word, NULL, 10);
    tri_request request = {.struct_size = sizeof request,
        .input_token_ids = prompt,
        .n_input_token_ids = n,
        .max_tokens = n_tokens,
        .end_id = -1};
    return tri_executor_enqueue(s->executor, &request, &s->ids[i], err);
}

static tri_status print(side *s, int i, tri_error *err) {
    tri_response *response;
    tri_status rc = tri_executor_await(s->executor, s->ids[i], -1, &response, err);
    if (rc) return rc;
    for (int32_t k = 0; k < response->n_output_token_ids; k++)
        printf("%d ", response->output_token_ids[k]);
    printf("%s\n", response->error_msg);
    tri_response_free(response);
    return TRI_OK;
}

int main(int argc, char **argv) {
    side sides[N_ENGINES] = {0};
    char line[8 * MAX_PROMPT];
    tri_error err = {0};
    tri_status rc = TRI_OK;
    if (argc != 4) return 2;
    int32_t n_tokens = (int32_t)strtol(argv[3], NULL, 10);
    for (int e = 0; e < N_ENGINES && !rc; e++)
        rc = open_side(&sides[e], argv[1 + e], &err);
    for (int k = 0; k < N_ENGINES * N_EACH && !rc; k++) {
        if (!fgets(line, sizeof line, stdin)) return 2;
        rc = enqueue(&sides[k / N_EACH], k % N_EACH, line, n_tokens, &err);
    }
    for (int k = N_ENGINES * N_EACH - 1; k >= 0 && !rc; k--) /* taken in the other order */
        rc = print(&sides[k / N_EACH], k % N_EACH, &err);
    if (rc) fprintf(stderr, "two_engines: %s\n", err.message);
    for (int e = 0; e < N_ENGINES; e++) {
        tri_executor_destroy(sides[e].executor);
        tri_engine_close(sides[e].engine);
    }
    return rc != TRI_OK;
}
