/* regex_dfa.h - a program's deterministic automaton, made as texts ask for it.
 *
 * A state is the ordered list of threads that wait for a symbol, none of their forks taken yet, and
 * the kind of the symbol read last.  Forks are taken when the next symbol is known, so that what
 * they ask of both neighbours is known; a match is therefore seen with the symbol after it, or with
 * the edge.  Memory is bounded: a full table is dropped and begun again. */
#ifndef TRI_TEXT_REGEX_DFA_H
#define TRI_TEXT_REGEX_DFA_H

#include "text/regex_program.h"

/* A transition: the next state's row in `table` << 1 | whether a match ends before the symbol. */
enum { TRI_DFA_DEAD = 0, TRI_DFA_UNKNOWN = 2, TRI_DFA_FIRST_ROW = 4 };

typedef struct tri_dfa_state {
    int32_t first, n; /* threads, in dfa->threads */
    uint32_t hash;
    uint32_t kind;
} tri_dfa_state;

typedef struct tri_dfa {
    const tri_program *program;
    const tri_symbols *symbols;
    int32_t look_bits; /* a column is symbol << look_bits | the place's looks */
    uint32_t stride;   /* of a row, at least 2 */
    uint32_t *table;
    tri_dfa_state *states; /* state 0 is dead */
    int32_t n_states, cap_states, max_states;
    int32_t *threads;
    int32_t n_threads, cap_threads;
    int32_t *slots; /* hash table of states, 0: free */
    int32_t n_slots;
    uint32_t starts[256]; /* row by kind of the symbol before, 0: not made yet */
    uint32_t n_drops;
    struct tri_dfa_thread *stack; /* while a transition is made, as the rest */
    int32_t *list;
    uint32_t *seen, *seen_again, *listed; /* by instruction: the generation when it was */
    uint32_t generation;
} tri_dfa;

tri_status tri_dfa_init(tri_dfa *dfa, const tri_program *program, const tri_symbols *symbols,
    int32_t look_bits, tri_error *err);
void tri_dfa_deinit(tri_dfa *dfa);

/* The row to start from behind a symbol (symbols->n: the edge). */
uint32_t tri_dfa_start(tri_dfa *dfa, uint32_t symbol_before);
/* Makes the transition.  May move the table and, when it was full, drop all other rows. */
uint32_t tri_dfa_fill(tri_dfa *dfa, uint32_t row, uint32_t column);

static inline uint32_t tri_dfa_step(tri_dfa *dfa, uint32_t row, uint32_t column) {
    uint32_t t = dfa->table[row + column];
    return t == TRI_DFA_UNKNOWN ? tri_dfa_fill(dfa, row, column) : t;
}

#endif
