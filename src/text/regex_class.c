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

static void add_categories(tri_code_set *set, uint32_t categories, tri_arena *arena) {
    for (int32_t i = 0; i < tri_n_category_runs; i++)
        if (categories >> (tri_category_runs[i] & 0xFF) & 1)
            tri_code_set_add(
                set, tri_category_runs[i] >> 8, (tri_category_runs[i + 1] >> 8) - 1, arena);
}

static void add_ranges(
    tri_code_set *set, const tri_code_range *ranges, int32_t n, tri_arena *arena) {
    for (int32_t i = 0; i < n; i++)
        tri_code_set_add(set, ranges[i].first, ranges[i].last, arena);
}

static void add_spaces(tri_code_set *set, tri_arena *arena) {
    static const tri_code_range spaces[] = {{9, 13}, {0x20, 0x20}, {0x85, 0x85}, {0xA0, 0xA0},
        {0x1680, 0x1680}, {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F},
        {0x3000, 0x3000}};
    add_ranges(set, spaces, (int32_t)(sizeof spaces / sizeof *spaces), arena);
}

static void add_hex(tri_code_set *set, tri_arena *arena) {
    static const tri_code_range digits[] = {{'0', '9'}, {'A', 'F'}, {'a', 'f'}};
    add_ranges(set, digits, 3, arena);
}

static void add_alphabetic(tri_code_set *set, tri_arena *arena) {
    tri_code_set marks = {0}, all = {0};
    add_ranges(&marks, tri_unicode_not_alphabetic_mark, tri_n_unicode_not_alphabetic_mark, arena);
    tri_code_set_negate(&marks, arena);
    add_categories(&all, TRI_CATS_LETTER | TRI_CATS_MARK | 1u << TRI_NL, arena);
    tri_code_set_intersect(&all, &marks, arena);
    tri_code_set_add_set(set, &all, arena);
    add_ranges(set, tri_unicode_alphabetic, tri_n_unicode_alphabetic, arena);
}

static void add_word(tri_code_set *set, tri_arena *arena) {
    add_categories(
        set, TRI_CATS_LETTER | TRI_CATS_MARK | 1u << TRI_ND | 1u << TRI_NL | 1u << TRI_PC, arena);
    add_ranges(set, tri_unicode_alphabetic, tri_n_unicode_alphabetic, arena);
}

static void add_upper(tri_code_set *set, tri_arena *arena) {
    add_categories(set, 1u << TRI_LU, arena);
    add_ranges(set, tri_unicode_uppercase, tri_n_unicode_uppercase, arena);
}

static void add_lower(tri_code_set *set, tri_arena *arena) {
    add_categories(set, 1u << TRI_LL, arena);
    add_ranges(set, tri_unicode_lowercase, tri_n_unicode_lowercase, arena);
}

bool tri_class_escape(tri_code_set *set, char letter, tri_arena *arena) {
    switch (letter) {
    case 'd':
        add_categories(set, 1u << TRI_ND, arena);
        return true;
    case 's':
        add_spaces(set, arena);
        return true;
    case 'h':
        add_hex(set, arena);
        return true;
    case 'w':
        add_word(set, arena);
        return true;
    default:
        return false;
    }
}

bool tri_class_posix(tri_code_set *set, tri_str name, tri_arena *arena) {
    if (tri_str_is(name, "alpha")) {
        add_alphabetic(set, arena);
    } else if (tri_str_is(name, "alnum")) {
        add_alphabetic(set, arena);
        add_categories(set, 1u << TRI_ND, arena);
    } else if (tri_str_is(name, "ascii")) {
        tri_code_set_add(set, 0, 0x7F, arena);
    } else if (tri_str_is(name, "blank")) {
        add_categories(set, 1u << TRI_ZS, arena);
        tri_code_set_add(set, '\t', '\t', arena);
    } else if (tri_str_is(name, "cntrl")) {
        add_categories(set, 1u << TRI_CC, arena);
    } else if (tri_str_is(name, "digit")) {
        add_categories(set, 1u << TRI_ND, arena);
    } else if (tri_str_is(name, "graph") || tri_str_is(name, "print")) {
        add_categories(
            set, ~(1u << TRI_CN | 1u << TRI_CS | 1u << TRI_CC | TRI_CATS_SEPARATOR), arena);
        if (name.ptr[0] == 'p') add_categories(set, 1u << TRI_ZS, arena);
    } else if (tri_str_is(name, "lower")) {
        add_lower(set, arena);
    } else if (tri_str_is(name, "punct")) {
        add_categories(set, TRI_CATS_PUNCTUATION | TRI_CATS_SYMBOL, arena);
    } else if (tri_str_is(name, "space")) {
        add_spaces(set, arena);
    } else if (tri_str_is(name, "upper")) {
        add_upper(set, arena);
    } else if (tri_str_is(name, "word")) {
        add_word(set, arena);
    } else if (tri_str_is(name, "xdigit")) {
        add_hex(set, arena);
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

static bool add_script(tri_code_set *set, tri_str name, tri_arena *arena) {
    int32_t script = tri_unicode_script_find(name);
    if (script < 0) return false;
    for (int32_t i = 0; i < tri_n_script_runs; i++)
        if ((int32_t)(tri_script_runs[i] & 0xFF) == script)
            tri_code_set_add(
                set, tri_script_runs[i] >> 8, (tri_script_runs[i + 1] >> 8) - 1, arena);
    return true;
}

static bool add_named_categories(tri_code_set *set, const char *name, tri_arena *arena) {
    for (size_t i = 0; i < sizeof category_names / sizeof *category_names; i++) {
        const category_name *c = &category_names[i];
        if (!named(name, c->abbreviation) && !named(name, c->name)) continue;
        add_categories(set, c->categories, arena);
        return true;
    }
    return false;
}

bool tri_class_property(tri_code_set *set, tri_str name, tri_arena *arena) {
    char key[40], squeezed[40];
    const char *equals = name.len ? memchr(name.ptr, '=', name.len) : NULL;
    if (equals) {
        size_t n = (size_t)(equals - name.ptr);
        tri_str value = {equals + 1, name.len - n - 1};
        if (!squeeze(key, (tri_str){name.ptr, n}) || !squeeze(squeezed, value)) return false;
        if (named(key, "script") || named(key, "sc")) return add_script(set, value, arena);
        if (named(key, "general_category") || named(key, "gc"))
            return add_named_categories(set, squeezed, arena);
        return false;
    }
    if (!squeeze(squeezed, name)) return false;
    if (add_named_categories(set, squeezed, arena) || add_script(set, name, arena)) return true;
    if (named(squeezed, "alphabetic")) {
        add_alphabetic(set, arena);
    } else if (named(squeezed, "uppercase")) {
        add_upper(set, arena);
    } else if (named(squeezed, "lowercase")) {
        add_lower(set, arena);
    } else if (named(squeezed, "white_space")) {
        add_spaces(set, arena);
    } else if (named(squeezed, "emoji")) {
        add_ranges(set, tri_unicode_emoji, tri_n_unicode_emoji, arena);
    } else if (named(squeezed, "extended_pictographic")) {
        add_ranges(set, tri_unicode_pictographic, tri_n_unicode_pictographic, arena);
    } else {
        return tri_class_posix(set, tri_str_of(squeezed), arena);
    }
    return true;
}
