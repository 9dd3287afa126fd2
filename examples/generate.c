/* generate.c - builds an engine, opens it and generates from token ids.
 *
 *   cc generate.c -o generate $(pkg-config --cflags --libs trireme)
 *   ./generate -m MODEL ENGINE_DIR 1 2 3      builds ENGINE_DIR from MODEL first
 *   ./generate ENGINE_DIR 1 2 3               uses what is there
 *
 * MODEL is a HF directory, a GGUF file or a TensorRT-LLM checkpoint directory.  The ids generated
 * go to stdout as they come, on one line. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <trireme/engine.h>
#include <trireme/executor.h>

enum { MAX_PLUGINS = 8, MAX_PROMPT = 4096 };

typedef struct arguments {
    const char *model, *engine, *dtype, *plugins[MAX_PLUGINS];
    int32_t n_plugins, n_tokens, n_prompt, prompt[MAX_PROMPT];
} arguments;

static tri_status build(const arguments *a, tri_error *err) {
    tri_build_options options = {.struct_size = sizeof options,
        .model_dir = a->model,
        .output_dir = a->engine,
        .dtype = a->dtype,
        .plugins = a->plugins,
        .n_plugins = a->n_plugins};
    return tri_build(&options, err);
}

static tri_status generate(tri_executor *executor, const arguments *a, tri_error *err) {
    tri_request request = {.struct_size = sizeof request,
        .input_token_ids = a->prompt,
        .n_input_token_ids = a->n_prompt,
        .max_tokens = a->n_tokens,
        .streaming = true};
    uint64_t id;
    tri_status rc = tri_executor_enqueue(executor, &request, &id, err);
    for (bool done = false; !rc && !done;) {
        tri_response *response;
        rc = tri_executor_await(executor, id, -1, &response, err); /* -1: however long it takes */
        if (rc) break;
        for (int32_t i = 0; i < response->n_output_token_ids; i++)
            printf("%d ", response->output_token_ids[i]);
        fflush(stdout);
        done = response->is_final;
        if (response->finish_reason == TRI_FINISH_ERROR) {
            rc = err->status = TRI_E_DEVICE;
            snprintf(err->message, sizeof err->message, "%s", response->error_msg);
        }
        tri_response_free(response);
    }
    printf("\n");
    return rc;
}

static tri_status run(const arguments *a, tri_error *err) {
    tri_engine *engine = NULL;
    tri_executor *executor = NULL;
    tri_engine_options options = {
        .struct_size = sizeof options, .plugins = a->plugins, .n_plugins = a->n_plugins};
    tri_executor_config config = {.struct_size = sizeof config, .max_batch_size = 1};

    tri_status rc = a->model ? build(a, err) : TRI_OK;
    if (!rc) rc = tri_engine_open(&engine, a->engine, &options, err);
    if (!rc) rc = tri_executor_create(&executor, engine, &config, err);
    if (!rc) rc = generate(executor, a, err);
    tri_executor_destroy(executor); /* NULL will do; executors go before their engine */
    tri_engine_close(engine);
    return rc;
}

int main(int argc, char **argv) {
    arguments a = {.n_tokens = 16};
    tri_error err = {0};
    for (int c; (c = getopt(argc, argv, "m:d:p:n:")) != -1;) {
        if (c == 'm') a.model = optarg;
        if (c == 'd') a.dtype = optarg; /* "float32": exactly what the weights say */
        if (c == 'n') a.n_tokens = atoi(optarg);
        if (c == 'p' && a.n_plugins < MAX_PLUGINS) a.plugins[a.n_plugins++] = optarg;
        if (c == '?') optind = argc;
    }
    if (optind >= argc) {
        fputs("usage: generate [-m MODEL] [-d DTYPE] [-p PLUGIN.so] [-n N] ENGINE_DIR [ID...]\n",
            stderr);
        return 2;
    }
    a.engine = argv[optind++];
    while (optind < argc && a.n_prompt < MAX_PROMPT)
        a.prompt[a.n_prompt++] = atoi(argv[optind++]);
    if (a.n_prompt == 0) a.prompt[a.n_prompt++] = 1; /* the beginning, in many vocabularies */
    if (run(&a, &err)) {
        fprintf(stderr, "generate: %s\n", err.message);
        return 1;
    }
    return 0;
}
