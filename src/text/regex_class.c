#include "text/regex_class.h"

#include <string.h>

#include "text/unicode.h"

typedef struct category_name {
    const char *abbreviation, *name;
    uint32_t categories;
} category_name;

static const category_name category_names[] = {
    {"C", "Other", TRI_CATS_OTHER},
    {"Cc", "Control", 1u << TRI_CC},
    {"Cf", "Format", 1u << TRI_CF},
    {"Cn", "Unassigned", 1u << TRI_CN},
    {"Co", "Private_Use", 1u << TRI_CO},
    {"Cs", "Surrogate", 1u << TRI_CS},
    {"L", "Letter", TRI_CATS_LETTER},
    {"LC", "Cased_Letter", 1u << TRI_LU | 1u << TRI_LL | 1u << TRI_LT},
    {"L&", "L&", 1u << TRI_LU | 1u << TRI_LL | 1u << TRI_LT},
    {"Ll", "Lowercase_Letter", 1u << TRI_LL},
    {"Lm", "Modifier_Letter", 1u << TRI_LM},
    {"Lo", "Other_Letter", 1u << TRI_LO},
    {"Lt", "Titlecase_Letter", 1u << TRI_LT},
    {"Lu", "Uppercase_Letter", 1u << TRI_LU},
    {"M", "Mark", TRI_CATS_MARK},
    {"Mc", "Spacing_Mark", 1u << TRI_MC},
    {"Me", "Enclosing_Mark", 1u << TRI_ME},
    {"Mn", "Nonspacing_Mark", 1u << TRI_MN},
    {"N", "Number", TRI_CATS_NUMBER},
    {"Nd", "Decimal_Number", 1u << TRI_ND},
    {"Nl", "Letter_Number", 1u << TRI_NL},
    {"No", "Other_Number", 1u << TRI_NO},
    {"P", "Punctuation", TRI_CATS_PUNCTUATION},
    {"Pc", "Connector_Punctuation", 1u << TRI_PC},
    {"Pd", "Dash_Punctuation", 1u << TRI_PD},
    {"Pe", "Close_Punctuation", 1u << TRI_PE},
    {"Pf", "Final_Punctuation", 1u << TRI_PF},
    {"Pi", "Initial_Punctuation", 1u << TRI_PI},
    {"Po", "Other_Punctuation", 1u << TRI_PO},
    {"Ps", "Open_Punctuation", 1u << TRI_PS},
    {"S", "Symbol", TRI_CATS_SYMBOL},
    {"Sc", "Currency_Symbol", 1u << TRI_SC},
    {"Sk", "Modifier_Symbol", 1u << TRI_SK},
    {"Sm", "Math_Symbol", 1u << TRI_SM},
    {"So", "Other_Symbol", 1u << TRI_SO},
    {"Z", "Separator", TRI_CATS_SEPARATOR},
    {"Zl", "Line_Separator", 1u << TRI_ZL},
    {"Zp", "Paragraph_Separator", 1u << TRI_ZP},
    {"Zs", "Space_Separator", 1u << TRI_ZS},
    {"Any", "Any", UINT32_MAX},
    {"Assigned", "Assigned", ~(1u << TRI_CN)},
};

static bool make_runs(tri_class_tables *t) {
    if (t->runs) return true;
    enum { MAX_RUNS = 8192 };
    uint32_t *runs = TRI_NEW_N(t->arena, uint32_t, MAX_RUNS);
    if (!runs) return false;
    int32_t n = 0;
    uint32_t last = UINT32_MAX;
    for (uint32_t c = 0; c <= TRI_CODE_MAX; c++) {
        /* Planes 4 to 13 hold nothing, 15 and 16 are private but for their last two codes. */
        if (c == 0x40000) c = 0xE0000;
        if (c == 0xE1000) c = 0xEFFFE;
        if ((c & 0xFFFF) == 0x10 && c > 0xF0000) c += 0xFFE0;
        uint32_t category = tri_unicode_category(c);
        if (category != last && n < MAX_RUNS) runs[n++] = c << 8 | category;
        last = category;
    }
    t->runs = runs;
    t->n_runs = n;
    return true;
}

static void add_categories(tri_code_set *set, uint32_t categories, tri_class_tables *t) {
    if (!make_runs(t)) {
        set->failed = true;
        return;
    }
    for (int32_t i = 0; i < t->n_runs; i++) {
        if (!(categories >> (t->runs[i] & 0xFF) & 1)) continue;
        uint32_t last = i + 1 < t->n_runs ? (t->runs[i + 1] >> 8) - 1 : TRI_CODE_MAX;
        tri_code_set_add(set, t->runs[i] >> 8, last, t->arena);
    }
}

static void add_ranges(
    tri_code_set *set, const tri_code_range *ranges, int32_t n, tri_class_tables *t) {
    for (int32_t i = 0; i < n; i++)
        tri_code_set_add(set, ranges[i].first, ranges[i].last, t->arena);
}

static void add_spaces(tri_code_set *set, tri_class_tables *t) {
    static const tri_code_range spaces[] = {{9, 13}, {0x20, 0x20}, {0x85, 0x85}, {0xA0, 0xA0},
        {0x1680, 0x1680}, {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F},
        {0x3000, 0x3000}};
    add_ranges(set, spaces, (int32_t)(sizeof spaces / sizeof *spaces), t);
}

static void add_hex(tri_code_set *set, tri_class_tables *t) {
    static const tri_code_range digits[] = {{'0', '9'}, {'A', 'F'}, {'a', 'f'}};
    add_ranges(set, digits, 3, t);
}

static void add_alphabetic(tri_code_set *set, tri_class_tables *t) {
    tri_code_set marks = {0}, all = {0};
    add_ranges(&marks, tri_unicode_not_alphabetic_mark, tri_n_unicode_not_alphabetic_mark, t);
    tri_code_set_negate(&marks, t->arena);
    add_categories(&all, TRI_CATS_LETTER | TRI_CATS_MARK | 1u << TRI_NL, t);
    tri_code_set_intersect(&all, &marks, t->arena);
    tri_code_set_add_set(set, &all, t->arena);
    add_ranges(set, tri_unicode_alphabetic, tri_n_unicode_alphabetic, t);
}

static void add_word(tri_code_set *set, tri_class_tables *t) {
    add_categories(
        set, TRI_CATS_LETTER | TRI_CATS_MARK | 1u << TRI_ND | 1u << TRI_NL | 1u << TRI_PC, t);
    add_ranges(set, tri_unicode_alphabetic, tri_n_unicode_alphabetic, t);
}

static void add_upper(tri_code_set *set, tri_class_tables *t) {
    add_categories(set, 1u << TRI_LU, t);
    add_ranges(set, tri_unicode_uppercase, tri_n_unicode_uppercase, t);
}

static void add_lower(tri_code_set *set, tri_class_tables *t) {
    add_categories(set, 1u << TRI_LL, t);
    add_ranges(set, tri_unicode_lowercase, tri_n_unicode_lowercase, t);
}

bool tri_class_escape(tri_code_set *set, char letter, tri_class_tables *t) {
    switch (letter) {
    case 'd':
        add_categories(set, 1u << TRI_ND, t);
        return true;
    case 's':
        add_spaces(set, t);
        return true;
    case 'h':
        add_hex(set, t);
        return true;
    case 'w':
        add_word(set, t);
        return true;
    default:
        return false;
    }
}

bool tri_class_posix(tri_code_set *set, tri_str name, tri_class_tables *t) {
    if (tri_str_is(name, "alpha")) {
        add_alphabetic(set, t);
    } else if (tri_str_is(name, "alnum")) {
        add_alphabetic(set, t);
        add_categories(set, 1u << TRI_ND, t);
    } else if (tri_str_is(name, "ascii")) {
        tri_code_set_add(set, 0, 0x7F, t->arena);
    } else if (tri_str_is(name, "blank")) {
        add_categories(set, 1u << TRI_ZS, t);
        tri_code_set_add(set, '\t', '\t', t->arena);
    } else if (tri_str_is(name, "cntrl")) {
        add_categories(set, 1u << TRI_CC, t);
    } else if (tri_str_is(name, "digit")) {
        add_categories(set, 1u << TRI_ND, t);
    } else if (tri_str_is(name, "graph") || tri_str_is(name, "print")) {
        add_categories(set, ~(1u << TRI_CN | 1u << TRI_CS | 1u << TRI_CC | TRI_CATS_SEPARATOR), t);
        if (name.ptr[0] == 'p') add_categories(set, 1u << TRI_ZS, t);
    } else if (tri_str_is(name, "lower")) {
        add_lower(set, t);
    } else if (tri_str_is(name, "punct")) {
        add_categories(set, TRI_CATS_PUNCTUATION | TRI_CATS_SYMBOL, t);
    } else if (tri_str_is(name, "space")) {
        add_spaces(set, t);
    } else if (tri_str_is(name, "upper")) {
        add_upper(set, t);
    } else if (tri_str_is(name, "word")) {
        add_word(set, t);
    } else if (tri_str_is(name, "xdigit")) {
        add_hex(set, t);
    } else {
        return false;
    }
    return true;
}

/* Lower case letters and digits of name: UAX44-LM3. */
static bool squeeze(char out[40], tri_str name) {
    size_t n = 0;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        if (c == '_' || c == '-' || c == ' ') continue;
        if (n == 39) return false;
        out[n++] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
    out[n] = '\0';
    return n > 0;
}

static bool named(const char *squeezed, const char *name) {
    char other[40];
    return squeeze(other, tri_str_of(name)) && strcmp(squeezed, other) == 0;
}

static bool add_script(tri_code_set *set, tri_str name, tri_class_tables *t) {
    int32_t script = tri_unicode_script_find(name);
    if (script < 0) return false;
    for (int32_t i = 0; i < tri_n_script_runs; i++)
        if ((int32_t)(tri_script_runs[i] & 0xFF) == script)
            tri_code_set_add(
                set, tri_script_runs[i] >> 8, (tri_script_runs[i + 1] >> 8) - 1, t->arena);
    return true;
}

static bool add_named_categories(tri_code_set *set, const char *name, tri_class_tables *t) {
    for (size_t i = 0; i < sizeof category_names / sizeof *category_names; i++) {
        const category_name *c = &category_names[i];
        if (!named(name, c->abbreviation) && !named(name, c->name)) continue;
        add_categories(set, c->categories, t);
        return true;
    }
    return false;
}

bool tri_class_property(tri_code_set *set, tri_str name, tri_class_tables *t) {
    char key[40], squeezed[40];
    const char *equals = name.len ? memchr(name.ptr, '=', name.len) : NULL;
    if (equals) {
        size_t n = (size_t)(equals - name.ptr);
        tri_str value = {equals + 1, name.len - n - 1};
        if (!squeeze(key, (tri_str){name.ptr, n}) || !squeeze(squeezed, value)) return false;
        if (named(key, "script") || named(key, "sc")) return add_script(set, value, t);
        if (named(key, "general_category") || named(key, "gc"))
            return add_named_categories(set, squeezed, t);
        return false;
    }
    if (!squeeze(squeezed, name)) return false;
    if (add_named_categories(set, squeezed, t) || add_script(set, name, t)) return true;
    if (named(squeezed, "alphabetic")) {
        add_alphabetic(set, t);
    } else if (named(squeezed, "uppercase")) {
        add_upper(set, t);
    } else if (named(squeezed, "lowercase")) {
        add_lower(set, t);
    } else if (named(squeezed, "white_space")) {
        add_spaces(set, t);
    } else if (named(squeezed, "emoji")) {
        add_ranges(set, tri_unicode_emoji, tri_n_unicode_emoji, t);
    } else if (named(squeezed, "extended_pictographic")) {
        add_ranges(set, tri_unicode_pictographic, tri_n_unicode_pictographic, t);
    } else {
        return tri_class_posix(set, tri_str_of(squeezed), t);
    }
    return true;
}
