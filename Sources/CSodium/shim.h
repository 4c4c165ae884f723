#ifndef HOLDFAST_CSODIUM_SHIM_H
#define HOLDFAST_CSODIUM_SHIM_H

#include <sodium.h>
#include <string.h>

/* Swift does not import the generichash state: it is aligned to 64 bytes. This holds the same bytes
   at any address; each call works on an aligned copy (384 bytes, nothing beside the hashing). */
typedef struct {
    unsigned char bytes[sizeof(crypto_generichash_state)];
} holdfast_hash_state;

static inline int holdfast_hash_init(
    holdfast_hash_state *state, const unsigned char *key, size_t key_size, size_t output_size) {
    crypto_generichash_state aligned;
    int code = crypto_generichash_init(&aligned, key, key_size, output_size);
    memcpy(state->bytes, &aligned, sizeof aligned);
    return code;
}

static inline int holdfast_hash_update(
    holdfast_hash_state *state, const unsigned char *input, unsigned long long count) {
    crypto_generichash_state aligned;
    memcpy(&aligned, state->bytes, sizeof aligned);
    int code = crypto_generichash_update(&aligned, input, count);
    memcpy(state->bytes, &aligned, sizeof aligned);
    return code;
}

static inline int holdfast_hash_final(
    const holdfast_hash_state *state, unsigned char *output, size_t output_size) {
    crypto_generichash_state aligned;
    memcpy(&aligned, state->bytes, sizeof aligned);
    return crypto_generichash_final(&aligned, output, output_size);
}

#endif
