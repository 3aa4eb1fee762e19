/*
 * A tokenizer for a small language as one big switch over state and character class: dense jump tables inside jump
 * tables, short blocks.
 *
 * The hash takes kind and length of every token.
 */
#include "guest.h"

#define LEN 24576u

GUEST("states", 0)

enum state { SPACE, NAME, ZERO, DECIMAL, HEX, STRING, ESCAPE, OPERATOR, SLASH, LINE, COMMENT, STAR, BROKEN };

struct lexer {
    uint32_t h, len;
};

static enum state emit(struct lexer *lexer, enum state kind, enum state next)
{
    lexer->h = mix(lexer->h, lexer->len << 4 | kind);
    lexer->len = 0;
    return next;
}

/* The state that a character enters outside of any token. */
static enum state begin(uint8_t c)
{
    switch (c) {
    case ' ': case '\n': return SPACE;
    case '0': return ZERO;
    case '1': case '2': case '3': case '4': case '5': case '6': case '7': case '8': case '9': return DECIMAL;
    case '"': return STRING;
    case '/': return SLASH;
    case '+': case '-': case '*': case '=': case '<': return OPERATOR;
    case 'a' ... 'z': return NAME;
    default: return BROKEN;
    }
}

static enum state step(struct lexer *lexer, enum state state, uint8_t c)
{
    lexer->len++;
    switch (state) {
    case SPACE:
        return c == ' ' || c == '\n' ? SPACE : emit(lexer, SPACE, begin(c));
    case NAME:
        switch (c) {
        case 'a' ... 'z': case '0' ... '9': return NAME;
        default: return emit(lexer, NAME, begin(c));
        }
    case ZERO:
        switch (c) {
        case 'x': return HEX;
        case '0' ... '9': return DECIMAL;
        default: return emit(lexer, ZERO, begin(c));
        }
    case DECIMAL:
        switch (c) {
        case '0' ... '9': return DECIMAL;
        case 'a' ... 'z': return BROKEN;
        default: return emit(lexer, DECIMAL, begin(c));
        }
    case HEX:
        switch (c) {
        case '0' ... '9': case 'a' ... 'f': return HEX;
        case 'g' ... 'z': return BROKEN;
        default: return emit(lexer, HEX, begin(c));
        }
    case STRING:
        switch (c) {
        case '\\': return ESCAPE;
        case '"': return emit(lexer, STRING, SPACE);
        case '\n': return BROKEN;
        default: return STRING;
        }
    case ESCAPE:
        return STRING;
    case OPERATOR:
        return c == '=' ? OPERATOR : emit(lexer, OPERATOR, begin(c));
    case SLASH:
        switch (c) {
        case '/': return LINE;
        case '*': return COMMENT;
        default: return emit(lexer, SLASH, begin(c));
        }
    case LINE:
        return c == '\n' ? emit(lexer, LINE, SPACE) : LINE;
    case COMMENT:
        return c == '*' ? STAR : COMMENT;
    case STAR:
        switch (c) {
        case '*': return STAR;
        case '/': return emit(lexer, COMMENT, SPACE);
        default: return COMMENT;
        }
    case BROKEN:
        return c == ' ' || c == '\n' ? emit(lexer, BROKEN, SPACE) : BROKEN;
    }
    return BROKEN;
}

uint32_t guest_main(uint32_t n)
{
    static const char alphabet[] = "abcxyz0123456789f  \n\n\"\\//**+-=<qe ";
    uint8_t *text = HEAP;
    struct lexer lexer = {1, 0};
    for (uint32_t i = 0; i < n; i++) {
        uint32_t seed = lexer.h | 1;
        enum state state = SPACE;
        for (uint32_t k = 0; k < LEN; k++)
            text[k] = (uint8_t)alphabet[next_random(&seed) % (sizeof alphabet - 1)];
        for (uint32_t k = 0; k < LEN; k++)
            state = step(&lexer, state, text[k]);
        lexer.h = mix(lexer.h, state);
    }
    return lexer.h;
}
