// headers.cpp - the public headers from C++: they compile, and what they declare links and runs.
#include <trireme/engine.h>
#include <trireme/executor.h>
#include <trireme/graph.h>
#include <trireme/plugin.h>
#include <trireme/text.h>
#include <trireme/types.h>

#include <cstdio>
#include <cstring>

static int failures = 0;

static void expect(bool holds, const char *what) {
    if (holds) return;
    std::fprintf(stderr, "headers: %s\n", what);
    failures++;
}

static void graph() {
    tri_error err = {};
    tri_graph *g = nullptr, *again = nullptr;
    char *text = nullptr, *text_again = nullptr;
    expect(tri_graph_create(&g, "Cpp", &err) == TRI_OK, "a graph");
    const int64_t dims[] = {32, 16};
    tri_graph_declare_weight(g, "table.weight", TRI_F32, dims, 2);
    tri_value *table = tri_weight(g, "table.weight");
    tri_value *x = tri_embedding(g, tri_input_tokens(g), table);
    tri_output_logits(g, tri_matmul(g, tri_select_rows(g, x, tri_input_rows(g)), table));
    expect(tri_graph_finish(g, &err) == TRI_OK, err.message);
    expect(tri_graph_print(g, &text, &err) == TRI_OK, err.message);
    expect(tri_graph_parse(&again, text, std::strlen(text), &err) == TRI_OK, err.message);
    expect(tri_graph_print(again, &text_again, &err) == TRI_OK, err.message);
    expect(text_again && !std::strcmp(text, text_again), "a graph prints, parses and prints alike");
    tri_free(text);
    tri_free(text_again);
    tri_graph_destroy(g);
    tri_graph_destroy(again);

    expect(tri_graph_create(&g, "Cpp", &err) == TRI_OK, "a graph");
    tri_linear(g, tri_embedding(g, tri_input_tokens(g), tri_weight(g, "absent")), "absent_too");
    expect(tri_graph_finish(g, &err) != TRI_OK, "an unknown weight is an error");
    expect(std::strstr(err.message, "absent") != nullptr, "which names it");
    tri_graph_destroy(g);
}

static void engine() {
    tri_error err = {};
    tri_engine *e = nullptr;
    tri_engine_options options = {};
    options.struct_size = sizeof options;
    expect(tri_engine_open(&e, "/nowhere/at/all", &options, &err) != TRI_OK, "no such engine");
    expect(std::strstr(err.message, "/nowhere/at/all") != nullptr, "the error names the directory");
    expect(e == nullptr, "out-parameters are left alone");
    tri_engine_close(nullptr);
    tri_executor_destroy(nullptr);
    tri_response_free(nullptr);
}

int main() {
    tri_dtype dtype;
    expect(!std::strcmp(tri_version(), TRI_VERSION_STRING), "header and library have one version");
    expect(tri_dtype_parse("bfloat16", &dtype) && dtype == TRI_BF16, "bfloat16");
    expect(!std::strcmp(tri_dtype_name(TRI_Q4_0), "q4_0"), "q4_0");
    expect(!std::strcmp(tri_status_name(TRI_E_FORMAT), "TRI_E_FORMAT"), "TRI_E_FORMAT");
    expect(!std::strcmp(tri_finish_reason_name(TRI_FINISH_LENGTH), "length"), "length");
    graph();
    engine();
    return failures != 0;
}
