#include "text/pre_names.h"

#include <string.h>

/* clang-format off */
#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define CONTRACTION "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define UPPER_NO_HAN "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]"
#define LOWER_NO_HAN "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]"
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define SPACES "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

static const char *const gpt2[] = {
    GPT2,
    NULL};
static const char *const llama3[] = {
    CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
    SPACES,
    NULL};
static const char *const jais2[] = {
    CONTRACTION
    "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r"
    "\\n]+|\\s{512}(?!\\S)|\\s{256}(?!\\S)|\\s{128}(?!\\S)|\\s{64}(?!\\S)|\\s{32}(?!\\S)|"
    "\\s{16}(?!\\S)|\\s{8}(?!\\S)|\\s{4}(?!\\S)|\\s{1,2}(?!\\S)|\\s{1}",
    NULL};
static const char deepseek_letters[] =
    "\\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ"
    "-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-"
    "Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-"
    "ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+";
static const char *const deepseek_llm[] = {
    "[\\r\\n]",
    deepseek_letters,
    "\\s?[!-/:-~！-／：-～‘-‟　-。]+",
    "\\s+$",
    "[一-龥ࠀ-一가-퟿]+",
    "\\p{N}+",
    NULL};
static const char *const deepseek_coder[] = {
    "[\\r\\n]",
    "\\s?\\p{L}+",
    "\\s?\\p{P}+",
    "[一-龥ࠀ-一가-퟿]+",
    "\\p{N}",
    NULL};
static const char *const deepseek3[] = {
    "\\p{N}{1,3}",
    "[一-龥぀-ゟ゠-ヿ]+",
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?["
    "\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*" SPACES,
    NULL};
static const char spark_words[] =
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?["
    "\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+|[\\r\\n]|\\s+(?!\\S)|\\s+";
static const char *const spark[] = {
    "\\p{N}{1,3}",
    "[一-龥぀-ゟ゠-ヿ]+",
    spark_words,
    "\\p{N}",
    NULL};
static const char *const youtu[] = {
    "[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥぀-ゟ゠-ヿ]+",
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" CONTRACTION "?|[^\\r\\n\\p{L}\\p{N}]?" UPPER
    "+" LOWER "*" CONTRACTION "?|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" SPACES,
    NULL};
static const char *const falcon[] = {
    "[\\p{P}\\$\\+<=>\\^~\\|`]+",
    GPT2,
    "[0-9][0-9][0-9]",
    NULL};
static const char *const unnamed[] = {
    "[\\p{P}\\$\\+<=>\\^~\\|]+",
    GPT2,
    "\\p{N}+",
    "[0-9][0-9][0-9]",
    NULL};
static const char *const digits[] = {
    "\\p{N}",
    GPT2,
    NULL};
static const char *const qwen2[] = {
    CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" SPACES,
    NULL};
static const char *const qwen35[] = {
    CONTRACTION
    "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*" SPACES,
    NULL};
static const char *const bloom[] = {
    " ?[^(\\s|.,!?…。，、।۔،)]+",
    NULL};
static const char *const viking[] = {
    " ?[^(\\s|.,!?…。，、।۔،)]+",
    "\\p{N}",
    NULL};
static const char *const tekken[] = {
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER
    "*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" SPACES,
    NULL};
static const char *const chameleon[] = {
    "<sentinel:[0-9]+>",
    "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z",
    "([\\t\\n]|    |  )",
    "\\p{N}",
    "[\\p{P}!-/:-@\\[-`{-~]",
    GPT2,
    NULL};
static const char *const o200k[] = {
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" CONTRACTION "?|[^\\r\\n\\p{L}\\p{N}]?" UPPER
    "+" LOWER "*" CONTRACTION "?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" SPACES,
    NULL};
static const char *const tiny_aya[] = {
    "\\d{1,3}(?=(?:\\d{3})*\\b)",
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" CONTRACTION "?|[^\\r\\n\\p{L}\\p{N}]?" UPPER
    "+" LOWER "*" CONTRACTION "?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" SPACES,
    NULL};
static const char *const kimi[] = {
    "[\\p{Han}]+|[^\\r\\n\\p{L}\\p{N}]?" UPPER_NO_HAN "*" LOWER_NO_HAN "+" CONTRACTION
    "?|[^\\r\\n\\p{L}\\p{N}]?" UPPER_NO_HAN "+" LOWER_NO_HAN "*" CONTRACTION
    "?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" SPACES,
    NULL};
static const char *const superbpe[] = {
    "\\p{N}+",
    "(?=(\\d{3})+(?!\\d))",
    NULL};
static const char *const bailing[] = {
    "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]++["
    "\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+",
    NULL};
static const char *const seed[] = {
    CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+" SPACES,
    NULL};
static const char *const ufakzeka[] = {
    "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" SPACES,
    NULL};
static const char *const afmoe[] = {
    "\\p{N}{1,3}(?=(?:\\p{N}{3})*(?!\\p{N}))",
    "[一-鿿㐀-䶿豈-﫿぀-ゟ゠-ヿ･-ﾟ⼀-⿟เ-๿຀-໿ក-៿က-႟ꩠ-ꩿꧠ-꧿가-힯ᄀ-ᇿ]+",
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?["
    "\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*" SPACES,
    NULL};
static const char *const laguna[] = {
    "[^\\n]+|[\\n]+",
    CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" SPACES,
    NULL};
static const char *const exaone_moe[] = {
    CONTRACTION
    "|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}| ?[^\\s\\p{L}"
    "\\p{N}]+[\\r\\n/]?|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+",
    NULL};
static const char *const minicpm5[] = {
    "\\p{N}{1,3}",
    CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}+| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" SPACES,
    NULL};
static const char *const none[] = {
    NULL};

static const tri_pre_rules all[] = {
    {"default", unnamed, 0},
    {"llama3", llama3, TRI_PRE_IGNORE_MERGES | TRI_PRE_ADD_BOS},
    {"llama-v3", llama3, TRI_PRE_IGNORE_MERGES | TRI_PRE_ADD_BOS},
    {"llama-bpe", llama3, TRI_PRE_IGNORE_MERGES | TRI_PRE_ADD_BOS},
    {"falcon3", llama3, TRI_PRE_IGNORE_MERGES | TRI_PRE_ADD_BOS},
    {"falcon-h1", llama3, TRI_PRE_IGNORE_MERGES | TRI_PRE_ADD_BOS},
    {"pixtral", llama3, TRI_PRE_IGNORE_MERGES | TRI_PRE_ADD_BOS},
    {"midm-2.0", llama3, TRI_PRE_IGNORE_MERGES | TRI_PRE_ADD_BOS},
    {"lfm2", llama3, TRI_PRE_IGNORE_MERGES | TRI_PRE_ADD_BOS},
    {"jina-v5-nano", llama3, TRI_PRE_IGNORE_MERGES | TRI_PRE_ADD_BOS},
    {"minicpm5", minicpm5, TRI_PRE_IGNORE_MERGES},
    {"deepseek-llm", deepseek_llm, 0},
    {"deepseek-coder", deepseek_coder, 0},
    {"deepseek-v3", deepseek3, 0},
    {"hunyuan-dense", deepseek3, 0},
    {"joyai-llm", deepseek3, 0},
    {"hy_v4", deepseek3, 0},
    {"spark2_5", spark, 0},
    {"youtu", youtu, TRI_PRE_IGNORE_MERGES},
    {"falcon", falcon, 0},
    {"mpt", gpt2, TRI_PRE_NFC},
    {"olmo", gpt2, TRI_PRE_NFC},
    {"gpt-2", gpt2, 0},
    {"phi-2", gpt2, 0},
    {"jina-es", gpt2, 0},
    {"jina-de", gpt2, 0},
    {"gigachat", gpt2, 0},
    {"jina-v2-es", gpt2, 0},
    {"jina-v2-de", gpt2, 0},
    {"a.x-4.0", gpt2, 0},
    {"mellum", gpt2, 0},
    {"modern-bert", gpt2, 0},
    {"jina-v1-en", gpt2, 0},
    {"jina-v2-code", gpt2, 0},
    {"roberta-bpe", gpt2, 0},
    {"jais", gpt2, 0},
    {"exaone4", gpt2, 0},
    {"trillion", gpt2, 0},
    {"granite-docling", gpt2, 0},
    {"jais-2", jais2, 0},
    {"starcoder", digits, 0},
    {"refact", digits, 0},
    {"smollm", digits, 0},
    {"codeshell", digits, 0},
    {"exaone", digits, 0},
    {"minerva-7b", digits, 0},
    {"mellum2", digits, 0},
    {"command-r", digits, TRI_PRE_NFC},
    {"gemma4", none, TRI_PRE_CHARACTERS | TRI_PRE_SMART_BOS},
    {"granite-embed-multi-311m", none, TRI_PRE_CHARACTERS | TRI_PRE_SMART_BOS},
    {"sarvam-moe", none, TRI_PRE_CHARACTERS},
    {"whitespace", none, TRI_PRE_WORDS},
    {"qwen2", qwen2, TRI_PRE_NFC},
    {"deepseek-r1-qwen", qwen2, TRI_PRE_NFC},
    {"kormo", qwen2, 0},
    {"f2llmv2", qwen2, 0},
    {"stablelm2", qwen2, 0},
    {"megrez", qwen2, 0},
    {"hunyuan", qwen2, 0},
    {"solar-open", qwen2, 0},
    {"grok-2", qwen2, 0},
    {"qwen35", qwen35, TRI_PRE_NFC},
    {"dbrx", llama3, 0},
    {"smaug-bpe", llama3, 0},
    {"chatglm-bpe", llama3, TRI_PRE_NO_BOS},
    {"glm4", llama3, TRI_PRE_IGNORE_MERGES | TRI_PRE_NO_BOS},
    {"glm5", llama3, TRI_PRE_IGNORE_MERGES | TRI_PRE_NO_BOS},
    {"poro-chat", bloom, 0},
    {"bloom", bloom, 0},
    {"gpt3-finnish", bloom, 0},
    {"viking", viking, 0},
    {"tekken", tekken, TRI_PRE_IGNORE_MERGES | TRI_PRE_ADD_BOS},
    {"exaone-moe", exaone_moe, 0},
    {"chameleon", chameleon, TRI_PRE_ADD_BOS},
    {"gpt-4o", o200k, 0},
    {"llama4", o200k, 0},
    {"kanana2", o200k, 0},
    {"talkie", o200k, 0},
    {"minimax-m2", o200k, 0},
    {"granite-embed-multi-97m", o200k, TRI_PRE_IGNORE_MERGES},
    {"tiny_aya", tiny_aya, 0},
    {"cohere2moe", tiny_aya, 0},
    {"superbpe", superbpe, 0},
    {"bailingmoe", bailing, 0},
    {"bailingmoe2", bailing, 0},
    {"llada-moe", bailing, 0},
    {"seed-coder", seed, 0},
    {"kimi-k2", kimi, TRI_PRE_IGNORE_MERGES},
    {"ufakzeka", ufakzeka, 0},
    {"afmoe", afmoe, 0},
    {"laguna", laguna, 0},
};
/* clang-format on */
enum { N_ALL = sizeof all / sizeof *all };

const tri_pre_rules *tri_pre_all(int32_t *n) {
    *n = N_ALL;
    return all;
}

const tri_pre_rules *tri_pre_find(tri_str name, const char **nearest) {
    const char *names[N_ALL];
    char word[64];
    for (int32_t i = 0; i < N_ALL; i++) {
        if (tri_str_is(name, all[i].name)) return &all[i];
        names[i] = all[i].name;
    }
    if (!nearest) return NULL;
    size_t n = name.len < sizeof word - 1 ? name.len : sizeof word - 1;
    memcpy(word, name.ptr, n);
    word[n] = '\0';
    *nearest = tri_nearest(word, names, N_ALL);
    return NULL;
}
