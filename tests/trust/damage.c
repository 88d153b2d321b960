/* SPDX-License-Identifier: Apache-2.0 */
/*
 * damage FILE.spike SEED STRIDE: every kind of damage to a spike graph, opened through the public
 * interface. Each case must be refused with one line that names a member, or give the very same
 * spike graph (compared as what tspk_spike_save() writes of it), within TIME_LIMIT seconds and
 * MEMORY_LIMIT bytes of address space beyond the healthy file's. Where the zip's directory is gone
 * there is no member to name, and the line says that the file is no spike graph. Of the bytes of
 * headers and description every STRIDE-th is changed, of the other kinds as large a share.
 *
 * Every kind ends with a line `TRUST|what|tried|survived|note`; the exit code is 1 when a case did
 * not survive.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/rng.h"
#include "tests/trust/held.h"
#include "tests/trust/zip_parts.h"
#include "transpike/spike.h"

#define TIME_LIMIT    30u                 /* [s] of one case */
#define MEMORY_LIMIT  ((size_t)512 << 20) /* [bytes] */
#define BOMB_BYTES    ((size_t)16 << 20)  /* [bytes] of zeros */
#define LEAK_LIMIT    ((size_t)256 << 10) /* [bytes] of all cases together */
#define N_RANDOM      1000
#define N_TENSOR_BITS 2000
#define MOST_REPORTS  20

#if defined(__SANITIZE_ADDRESS__)
#define HAS_OWN_HEAP 0
#else
#define HAS_OWN_HEAP 1
#endif

typedef struct harness {
    const uint8_t *healthy; /* [n] the file */
    size_t n;
    zip_parts parts;
    uint8_t *saved; /* [n_saved] what the healthy graph is saved as */
    size_t n_saved;
    int descriptor; /* of a file in memory that holds the case */
    char path[64], save_path[256];
    tspk_rng rng;
    size_t stride;
    size_t tried, refused, same; /* of this kind */
    size_t wrong;                /* of all */
} harness;

static char case_name[256]; /* for the alarm, which has no context */

static void die(const char *what)
{
    fprintf(stderr, "damage: %s\n", what);
    exit(2);
}

static void on_alarm(int number)
{
    (void)number;
    fprintf(stderr, "damage: %s: more than %u s\n", case_name, TIME_LIMIT);
    _exit(1);
}

static uint8_t *read_file(const char *path, size_t *n_out)
{
    FILE *const file = fopen(path, "rb");
    struct stat found;
    uint8_t *bytes;

    if (!file || fstat(fileno(file), &found) != 0)
        die("a file cannot be opened");
    *n_out = (size_t)found.st_size;
    bytes = malloc(*n_out + 1);
    if (!bytes || fread(bytes, 1, *n_out, file) != *n_out)
        die("a file cannot be read");
    fclose(file);
    return bytes;
}

static void put(harness *h, size_t offset, const uint8_t *bytes, size_t n)
{
    while (n) {
        const ssize_t written = pwrite(h->descriptor, bytes, n, (off_t)offset);

        if (written <= 0)
            die("the case cannot be written");
        bytes += written;
        offset += (size_t)written;
        n -= (size_t)written;
    }
}

static void put_all(harness *h, const uint8_t *bytes, size_t n)
{
    if (ftruncate(h->descriptor, (off_t)n) != 0)
        die("the case cannot be written");
    put(h, 0, bytes, n);
}

static bool is_same(harness *h, const tspk_spike *spike)
{
    tspk_error err;
    uint8_t *saved;
    size_t n;
    bool is_equal;

    tspk_error_init(&err);
    if (tspk_spike_save(spike, h->save_path, &err) != TSPK_OK)
        return false;
    saved = read_file(h->save_path, &n);
    unlink(h->save_path);
    is_equal = n == h->n_saved && memcmp(saved, h->saved, n) == 0;
    free(saved);
    return is_equal;
}

/* A refusal for lack of memory is none: the case asked for more than it may. */
static bool is_clear(const tspk_error *err, tspk_status status, const char *member)
{
    char line[1024];

    tspk_error_format(err, line, sizeof line);
    return err->status == status && err->message[0] && !strchr(line, '\n') &&
           (err->tensor[0] || (!member && strstr(line, "not a spike graph"))) &&
           status != TSPK_NOMEM && status != TSPK_USAGE && status != TSPK_INTERRUPTED &&
           (!member || strstr(line, member));
}

/* Opens what the file in memory holds. `member`: must be named by a refusal; NULL: any. */
static void judge(harness *h, const char *member, bool may_open)
{
    tspk_spike *spike = NULL;
    tspk_error err;
    tspk_status status;
    bool is_right;
    char line[1024];

    tspk_error_init(&err);
    alarm(TIME_LIMIT);
    status = tspk_spike_open(h->path, &spike, &err);
    alarm(0);
    h->tried++;
    if (status == TSPK_OK) {
        is_right = may_open && spike && is_same(h, spike);
        h->same += is_right;
    } else {
        is_right = !spike && is_clear(&err, status, member);
        h->refused += is_right;
    }
    if (!is_right) {
        h->wrong++;
        tspk_error_format(&err, line, sizeof line);
        if (h->wrong <= MOST_REPORTS)
            printf("wrong: %s: %s\n", case_name,
                   status == TSPK_OK ? "opened as another spike graph" : line);
    }
    tspk_spike_close(spike);
}

static void report(harness *h, const char *what)
{
    printf("TRUST|%s|%zu|%zu|%zu refused, %zu with the same result", what, h->tried,
           h->refused + h->same, h->refused, h->same);
    if (h->stride > 1)
        printf("; a share: stride %zu", h->stride);
    printf("\n");
    h->tried = h->refused = h->same = 0;
}

static void flip(harness *h, size_t at, const char *member, bool may_open)
{
    const uint8_t changed = h->healthy[at] ^ (uint8_t)(1u << tspk_rng_below(&h->rng, 8));

    snprintf(case_name, sizeof case_name, "byte %zu is %u, not %u", at, changed, h->healthy[at]);
    put(h, at, &changed, 1);
    judge(h, member, may_open);
    put(h, at, h->healthy + at, 1);
}

/* Every STRIDE-th of n places, from a random one on. */
static void flip_range(harness *h, size_t first, size_t n, const char *member, bool may_open)
{
    for (size_t at = tspk_rng_below(&h->rng, h->stride); at < n; at += h->stride)
        flip(h, first + at, member, may_open);
}

static void flip_headers(harness *h)
{
    put_all(h, h->healthy, h->n);
    for (size_t i = 0; i < h->parts.n_members; i++) {
        const zip_member *const m = &h->parts.member[i];

        flip_range(h, m->head, m->data - m->head, NULL, true);
        flip_range(h, m->data + m->n, m->behind - m->data - m->n, NULL, true);
    }
    report(h, "a bit in every byte of the members' headers");
    flip_range(h, h->parts.directory, h->n - h->parts.directory, NULL, true);
    report(h, "a bit in every byte of the zip's directory");
}

static void flip_contents(harness *h)
{
    size_t first, n;

    put_all(h, h->healthy, h->n);
    for (size_t i = 0; i < 2; i++)
        flip_range(h, h->parts.member[i].data, h->parts.member[i].n, "transpike.pb", false);
    report(h, "a bit in every byte of the description and its checksum");
    first = h->parts.member[2].head;
    n = h->parts.directory - first;
    for (int i = 0; i < N_TENSOR_BITS / (int)h->stride;) {
        const size_t at = first + tspk_rng_below(&h->rng, n);

        for (size_t k = 2; k < h->parts.n_members; k++) {
            const zip_member *const m = &h->parts.member[k];

            if (at >= m->data && at < m->data + m->n) {
                flip(h, at, m->name, false);
                i++;
                break;
            }
        }
    }
    report(h, "a bit in random bytes of tensors");
}

static void truncate_at(harness *h, size_t n)
{
    snprintf(case_name, sizeof case_name, "truncated to %zu of %zu bytes", n, h->n);
    put_all(h, h->healthy, n);
    judge(h, NULL, false);
}

static void truncate_all(harness *h)
{
    for (size_t i = 0; i < h->parts.n_members; i += 1 + h->stride / 4) {
        truncate_at(h, h->parts.member[i].head);
        truncate_at(h, h->parts.member[i].data);
        truncate_at(h, h->parts.member[i].data + h->parts.member[i].n);
        truncate_at(h, h->parts.member[i].central);
    }
    truncate_at(h, h->parts.end);
    report(h, "truncations at every boundary of a member");
    for (int i = 0; i < N_RANDOM / (int)h->stride; i++)
        truncate_at(h, tspk_rng_below(&h->rng, h->n));
    report(h, "truncations at random places");
}

static void judge_entries(harness *h, const zip_entry *entry, size_t n, const char *member,
                          bool may_open)
{
    uint8_t *bytes;
    size_t n_bytes;

    zip_write(entry, n, &bytes, &n_bytes);
    put_all(h, bytes, n_bytes);
    free(bytes);
    judge(h, member, may_open);
}

/* One member: left out, doubled, after its neighbour, at the end, longer, shorter, empty. */
static void disorder(harness *h, const zip_entry *entry, size_t n, size_t i, zip_entry *changed)
{
    const char *const name = entry[i].name;
    const char *const refused = i < 2 ? "transpike.pb" : name;
    uint8_t *const longer = malloc(entry[i].n + 1);

    if (!longer)
        die("no memory");
    memcpy(longer, entry[i].data, entry[i].n);
    longer[entry[i].n] = 'x';
    snprintf(case_name, sizeof case_name, "without %s", name);
    memcpy(changed, entry, i * sizeof *entry);
    memcpy(changed + i, entry + i + 1, (n - i - 1) * sizeof *entry);
    judge_entries(h, changed, n - 1, name, false);
    snprintf(case_name, sizeof case_name, "%s at the end", name);
    changed[n - 1] = entry[i];
    if (i + 1 < n)
        judge_entries(h, changed, n, name, false);
    snprintf(case_name, sizeof case_name, "%s twice", name);
    memcpy(changed, entry, (i + 1) * sizeof *entry);
    memcpy(changed + i + 1, entry + i, (n - i) * sizeof *entry);
    judge_entries(h, changed, n + 1, name, false);
    memcpy(changed, entry, n * sizeof *entry);
    snprintf(case_name, sizeof case_name, "%s one byte longer", name);
    changed[i] = (zip_entry){.name = name, .data = longer, .n = entry[i].n + 1};
    judge_entries(h, changed, n, refused, false);
    snprintf(case_name, sizeof case_name, "%s one byte shorter", name);
    changed[i].n = entry[i].n - 1;
    judge_entries(h, changed, n, refused, false);
    snprintf(case_name, sizeof case_name, "%s empty", name);
    changed[i].n = 0;
    judge_entries(h, changed, n, refused, false);
    snprintf(case_name, sizeof case_name, "%s said to be 4 GiB", name);
    changed[i] = entry[i];
    changed[i].claimed_size = 0xfffffff0u;
    judge_entries(h, changed, n, refused, false);
    if (i + 1 < n) {
        snprintf(case_name, sizeof case_name, "%s after the next", name);
        changed[i] = entry[i + 1];
        changed[i + 1] = entry[i];
        judge_entries(h, changed, n, name, false);
    }
    free(longer);
}

static void disorder_all(harness *h, const zip_entry *entry, size_t n, zip_entry *changed)
{
    for (size_t i = 0; i < n; i += i < 3 ? 1 : 1 + h->stride / 4)
        disorder(h, entry, n, i, changed);
    report(h, "a member missing, doubled, out of order, of another size");
}

/* What unfolds to more than the file: at the front, as a tensor, and behind a true size. */
static void bomb(harness *h, const zip_entry *entry, size_t n, zip_entry *changed)
{
    uint8_t *const zeros = calloc(1, BOMB_BYTES);
    const size_t at[] = {0, 1, 2, n / 2, n - 1};

    if (!zeros)
        die("no memory");
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        const char *const name = entry[at[i]].name;
        const zip_entry member = {
            .name = name, .data = zeros, .n = BOMB_BYTES, .is_deflated = true};

        snprintf(case_name, sizeof case_name, "%s a bomb of %zu bytes", name, BOMB_BYTES);
        memcpy(changed, entry, n * sizeof *entry);
        changed[at[i]] = member;
        judge_entries(h, changed, n, i < 2 ? "transpike.pb" : name, false);
        snprintf(case_name, sizeof case_name, "%s a bomb that claims its true size", name);
        changed[at[i]].claimed_size = (uint32_t)entry[at[i]].n;
        judge_entries(h, changed, n, i < 2 ? "transpike.pb" : name, false);
    }
    memcpy(changed, entry, n * sizeof *entry);
    for (size_t i = 0; i < n; i++)
        changed[i].is_deflated = true;
    snprintf(case_name, sizeof case_name, "every member compressed");
    judge_entries(h, changed, n, NULL, true);
    free(zeros);
    report(h, "zip bombs");
}

static void go_outside(harness *h, const zip_entry *entry, size_t n, zip_entry *changed)
{
    static const char *const names[] = {
        "../transpike.pb", "/etc/passwd",   "a/../../b.npy",  "..",
        "C:\\x.npy",       "transpike.pb/", "./transpike.pb", "a\nb.npy"};
    static const uint32_t modes[] = {0100644, 0120777, 0040755, 0020666, 0010644};
    const size_t at[] = {0, 2, n - 1, n};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        for (size_t k = 0; k < sizeof at / sizeof *at; k++) {
            snprintf(case_name, sizeof case_name, "a member named %s as number %zu", names[i],
                     at[k]);
            memcpy(changed, entry, n * sizeof *entry);
            changed[at[k]] = (zip_entry){.name = names[i], .data = entry[2].data, .n = entry[2].n};
            judge_entries(h, changed, at[k] == n ? n + 1 : n, NULL, false);
        }
    for (size_t i = 1; i < sizeof modes / sizeof *modes; i++)
        for (size_t k = 0; k < n; k += n / 3) {
            snprintf(case_name, sizeof case_name, "%s of mode %o", entry[k].name, modes[i]);
            memcpy(changed, entry, n * sizeof *entry);
            changed[k].mode = modes[i];
            judge_entries(h, changed, n, NULL, true);
        }
    report(h, "members with paths outside, links, folders, devices");
}

static void rearrange(harness *h)
{
    const size_t n = h->parts.n_members;
    zip_entry *const entry = calloc(n + 2, sizeof *entry), *const changed =
                                                               calloc(n + 2, sizeof *entry);

    if (!entry || !changed)
        die("no memory");
    for (size_t i = 0; i < n; i++) {
        const zip_member *const m = &h->parts.member[i];

        entry[i] = (zip_entry){.name = m->name, .data = h->healthy + m->data, .n = m->n};
    }
    snprintf(case_name, sizeof case_name, "the same members, put together anew");
    judge_entries(h, entry, n, NULL, true);
    if (h->same != 1)
        die("the harness' own zip is not read: nothing below would mean anything");
    disorder_all(h, entry, n, changed);
    bomb(h, entry, n, changed);
    go_outside(h, entry, n, changed);
    free(entry);
    free(changed);
}

/* Everything that a case may take comes on top of what one healthy file takes. */
static void limit_memory(void)
{
    FILE *const file = fopen("/proc/self/statm", "r");
    struct rlimit limit;
    size_t pages;

    if (!file || fscanf(file, "%zu", &pages) != 1)
        die("/proc/self/statm cannot be read");
    fclose(file);
    limit.rlim_cur = limit.rlim_max = pages * (size_t)sysconf(_SC_PAGESIZE) + MEMORY_LIMIT;
    if (HAS_OWN_HEAP && setrlimit(RLIMIT_AS, &limit) != 0)
        die("the address space cannot be limited");
}

static void init(harness *h, const char *path, const char *seed, const char *stride)
{
    tspk_spike *spike = NULL;
    tspk_error err;

    h->healthy = read_file(path, &h->n);
    h->rng.state = strtoull(seed, NULL, 10);
    h->stride = strtoull(stride, NULL, 10);
    h->descriptor = memfd_create("case", MFD_CLOEXEC);
    if (!h->stride || h->descriptor < 0 || !zip_parts_init(&h->parts, h->healthy, h->n) ||
        h->parts.n_members < 4)
        die("not a zip as the writer makes it");
    snprintf(h->path, sizeof h->path, "/proc/self/fd/%d", h->descriptor);
    snprintf(h->save_path, sizeof h->save_path, "%s/tspk-damage-%d.spike",
             getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp", (int)getpid());
    tspk_error_init(&err);
    if (tspk_spike_open(path, &spike, &err) != TSPK_OK ||
        tspk_spike_save(spike, h->save_path, &err) != TSPK_OK)
        die(err.message);
    tspk_spike_close(spike);
    h->saved = read_file(h->save_path, &h->n_saved);
    unlink(h->save_path);
    if (h->n_saved != h->n || memcmp(h->saved, h->healthy, h->n) != 0)
        die("the healthy file is not saved as it was");
}

int main(int argc, char **argv)
{
    static harness h;
    size_t heap;
    int descriptors;

    if (argc != 4)
        die("usage: damage FILE.spike SEED STRIDE");
    signal(SIGALRM, on_alarm);
    init(&h, argv[1], argv[2], argv[3]);
    limit_memory();
    rearrange(&h);
    heap = held_heap_bytes();
    descriptors = held_descriptors();
    truncate_all(&h);
    flip_headers(&h);
    flip_contents(&h);
    if (HAS_OWN_HEAP && held_heap_bytes() > heap + LEAK_LIMIT) {
        printf("wrong: %zu bytes are lost\n", held_heap_bytes() - heap);
        h.wrong++;
    }
    if (held_descriptors() != descriptors) {
        printf("wrong: %d descriptors before, %d after\n", descriptors, held_descriptors());
        h.wrong++;
    }
    printf("seed %s, %zu cases went wrong\n", argv[2], h.wrong);
    zip_parts_done(&h.parts);
    free(h.saved);
    free((void *)(uintptr_t)h.healthy);
    return h.wrong ? 1 : 0;
}
