/* SPDX-License-Identifier: Apache-2.0 */
/* The one place for compiler extensions. */
#ifndef TSPK_CORE_COMPILER_H
#define TSPK_CORE_COMPILER_H

#define TSPK_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define TSPK_ALIGNED(n)        __attribute__((aligned(n)))
#define TSPK_UNUSED            __attribute__((unused))
#define TSPK_TARGET(isa)       __attribute__((target(isa)))
/* Functions between the two are compiled for AVX2 and FMA, whatever the build's baseline is. */
#if defined(__clang__)
#define TSPK_TARGET_AVX2_BEGIN                                                                     \
    _Pragma("clang attribute push(__attribute__((target(\"avx2,fma\"))), apply_to = function)")
#define TSPK_TARGET_AVX2_END _Pragma("clang attribute pop")
#else
#define TSPK_TARGET_AVX2_BEGIN _Pragma("GCC push_options") _Pragma("GCC target(\"avx2,fma\")")
#define TSPK_TARGET_AVX2_END   _Pragma("GCC pop_options")
#endif
/* The same for AVX-512; gcc widens loops to 256 bits unless told. */
#if defined(__clang__)
#define TSPK_AVX512_FEATURES "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl"
#define TSPK_TARGET_AVX512_BEGIN                                                                   \
    _Pragma("clang attribute push(__attribute__((target(\"avx2,fma,avx512f,avx512bw,avx512dq,avx512vl\"))), apply_to = function)")
#define TSPK_TARGET_AVX512_END _Pragma("clang attribute pop")
#else
#define TSPK_AVX512_FEATURES                                                                       \
    "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512"
#define TSPK_TARGET_AVX512_BEGIN                                                                   \
    _Pragma("GCC push_options")                                                                    \
    _Pragma("GCC target(\"avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512\")")
#define TSPK_TARGET_AVX512_END _Pragma("GCC pop_options")
#endif
/* Before a loop: no iteration depends on another, though pointers may be equal. */
#if defined(__clang__)
#define TSPK_IVDEP _Pragma("clang loop vectorize(assume_safety)")
#else
#define TSPK_IVDEP _Pragma("GCC ivdep")
#endif
#define TSPK_ALWAYS_INLINE __attribute__((always_inline)) inline
/* Before the end of a loop: this vector stays in a register and is not renamed. */
#define TSPK_IN_REGISTER(vector) __asm__("" : "+v"(vector))
/* This pointer's value is not derived again from what it was made of. */
#define TSPK_OPAQUE(pointer) __asm__("" : "+r"(pointer))
#define TSPK_LIKELY(x)     __builtin_expect(!!(x), 1)
#define TSPK_UNLIKELY(x)   __builtin_expect(!!(x), 0)
#define TSPK_COUNT_OF(a)   (sizeof(a) / sizeof((a)[0]))

#if defined(__x86_64__) && !defined(TSPK_NO_SIMD)
#define TSPK_HAVE_X86 1
#else
#define TSPK_HAVE_X86 0
#endif

#if defined(__aarch64__) && defined(__linux__) && !defined(TSPK_NO_SIMD)
#define TSPK_HAVE_NEON 1
#else
#define TSPK_HAVE_NEON 0
#endif

/* Compiles a loop-heavy function for AVX2 too and picks at load time. Only for code whose float
 * operations are one rounding each, in any lane order: both copies give the same bytes. */
#if TSPK_HAVE_X86 && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define TSPK_VECTOR_CLONES __attribute__((target_clones("avx2", "default")))
#else
#define TSPK_VECTOR_CLONES
#endif

/* A function that runs when the program or library is loaded. */
#define TSPK_AT_LOAD __attribute__((constructor))

#endif
