/* chat_prompt.c - the text library alone: a question as a model's chat template writes it, the ids
 * of that, and the ids as a stream of text again.
 *
 *   cc chat_prompt.c -o chat_prompt $(pkg-config --cflags --libs trireme)
 *   ./chat_prompt MODEL "What is a black hole?"
 *
 * MODEL is a directory with tokenizer files, or a GGUF file.  Prints the prompt, its ids on one
 * line, and what a decoder makes of them one by one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <trireme/text.h>

/* {"messages": [{"role": "user", "content": question}], ...}; the caller frees it. */
static char *inputs_of(const char *question) {
    static const char before[] = "{\"add_generation_prompt\": true, "
                                 "\"messages\": [{\"role\": \"user\", \"content\": \"";
    char *json = malloc(sizeof before + 6 * strlen(question) + 8), *at = json;
    if (!json) return NULL;
    at += sprintf(at, "%s", before);
    for (const char *c = question; *c; c++) {
        unsigned char byte = (unsigned char)*c;
        if (byte < 0x20 || byte == '"' || byte == '\\') {
            at += sprintf(at, "\\u%04x", byte);
        } else {
            *at++ = *c;
        }
    }
    strcpy(at, "\"}]}");
    return json;
}

static tri_status stream(const tri_tokenizer *t, const int32_t *ids, int32_t n, tri_error *err) {
    tri_decoder *decoder = NULL;
    tri_status rc = tri_decoder_create(&decoder, t, false, NULL, 0, err);
    for (int32_t i = 0; !rc && i <= n; i++) {
        const char *text = NULL;
        size_t n_text = 0;
        bool stopped = false;
        rc = i < n ? tri_decoder_add(decoder, ids[i], &text, &n_text, &stopped, err)
                   : tri_decoder_finish(decoder, &text, &n_text, &stopped, err);
        if (!rc) fwrite(text, 1, n_text, stdout);
    }
    tri_decoder_destroy(decoder);
    return rc;
}

static tri_status show(const char *model, const char *inputs, tri_error *err) {
    tri_tokenizer *tokenizer = NULL;
    tri_chat_template *chat = NULL;
    tri_chat_text prompt = {0};
    int32_t *ids = NULL, n_ids = 0;
    tri_status rc = tri_tokenizer_open(&tokenizer, model, err);
    if (!rc) rc = tri_chat_template_open(&chat, model, NULL, err);
    if (!rc) rc = tri_chat_template_render(chat, inputs, strlen(inputs), &prompt, err);
    if (!rc) rc = tri_chat_text_encode(&prompt, tokenizer, &ids, &n_ids, err);
    if (!rc) {
        printf("%s\n", prompt.text);
        for (int32_t i = 0; i < n_ids; i++)
            printf("%d%s", ids[i], i + 1 < n_ids ? " " : "\n");
        rc = stream(tokenizer, ids, n_ids, err);
    }
    tri_free(ids);
    tri_chat_text_free(&prompt);
    tri_chat_template_close(chat);
    tri_tokenizer_close(tokenizer);
    return rc;
}

int main(int argc, char **argv) {
    tri_error err = {0};
    if (argc != 3) {
        fprintf(stderr, "usage: chat_prompt MODEL QUESTION\n");
        return 2;
    }
    char *inputs = inputs_of(argv[2]);
    tri_status rc = inputs ? show(argv[1], inputs, &err) : TRI_E_MEMORY;
    free(inputs);
    if (rc) fprintf(stderr, "chat_prompt: %s\n", err.message);
    return rc ? 1 : 0;
}
