/* A network trained in C by hand: what the compiler is measured against.
 *
 * Built once per network, its sizes being constants:
 *
 *     cc -O3 -march=native -ffast-math -fPIC -DSIZES=64,32,10 -DCROSS_ENTROPY -c reference.c
 *     cc -shared reference.o -o reference.so -lm
 *
 * A lane is one register of doubles, one sample in each. A layer works on a chunk of some 40 samples that stays in the
 * first cache, and on two lanes of it (a block) and six neurons at a time.
 * The gradient of the weights runs along a weight row instead, so that hardly a register is summed crosswise.
 * Where a mini-batch is one such chunk, it is subtracted from the parameters directly.
 *
 * Parameters, as in the library: per neuron its weights, then its bias. Layers but the last end in ReLU.
 * The loss is softmax cross-entropy with one-hot targets, or the hinge loss of one output with an L2 penalty.
 */
#include <math.h>
#include <string.h>
#include <time.h>

#ifdef __AVX512F__
#define WIDTH 8
#else
#define WIDTH 4
#endif
#define BLOCK (2 * WIDTH)       /* samples in two lanes, which the tiles below work on at once */
#define CHUNK ((39 + BLOCK) / BLOCK * BLOCK)
#define REGISTERS (CHUNK / WIDTH)

typedef double lane __attribute__((vector_size(8 * WIDTH)));
typedef double loose __attribute__((vector_size(8 * WIDTH), aligned(8), may_alias));
typedef long mask __attribute__((vector_size(8 * WIDTH)));

static const int sizes[] = {SIZES};
#define LAYERS ((int)(sizeof sizes / sizeof *sizes) - 1)
#ifndef MOST
#define MOST 2049               /* no layer is wider, with the 1 that a bias is multiplied by */
#endif
#define TILE 6                  /* neurons in a tile: with two registers of samples each, 12 running sums */
#ifdef CROSS_ENTROPY
#define TARGETS sizes[LAYERS]
#else
#define TARGETS 1
#endif
#ifndef PENALTY
#define PENALTY 0.0
#endif
#define UNROLL _Pragma("GCC unroll 16")
#define INLINE static inline __attribute__((always_inline))

static lane values[16][MOST][REGISTERS];                                  /* per layer, neuron by neuron */
static lane adjoints[2][MOST][REGISTERS];
static double rows[16][CHUNK * MOST] __attribute__((aligned(64)));        /* the same values, sample by sample */
static lane targets[MOST][REGISTERS];

INLINE lane all(double x) { return x - (lane){}; }
INLINE lane held(lane x) { __asm__("" : "+x"(x)); return x; }    /* x in a register, not read again from memory */
INLINE lane keep(mask m, lane x) { return (lane)(m & (mask)x); }                          /* x where m, else 0 */
INLINE lane choose(mask m, lane x, lane y) { return (lane)((m & (mask)x) | (~m & (mask)y)); }

/* blocks of d numbers beside the diagonal of a square of lanes change places; the lists pick from two lanes' numbers */
#define SWAP(d, first, second) \
    UNROLL for (int k = 0; k < WIDTH; k++) \
        if (!(k & d)) { \
            lane x = a[k], y = a[k + d]; \
            a[k] = __builtin_shuffle(x, y, (mask)first); \
            a[k + d] = __builtin_shuffle(x, y, (mask)second); \
        }
#define PICK(...) {__VA_ARGS__}

INLINE void transpose(lane *a)
{
#if WIDTH == 8
    SWAP(1, PICK(0, 8, 2, 10, 4, 12, 6, 14), PICK(1, 9, 3, 11, 5, 13, 7, 15))
    SWAP(2, PICK(0, 1, 8, 9, 4, 5, 12, 13), PICK(2, 3, 10, 11, 6, 7, 14, 15))
    SWAP(4, PICK(0, 1, 2, 3, 8, 9, 10, 11), PICK(4, 5, 6, 7, 12, 13, 14, 15))
#else
    SWAP(1, PICK(0, 4, 2, 6), PICK(1, 5, 3, 7))
    SWAP(2, PICK(0, 1, 4, 5), PICK(2, 3, 6, 7))
#endif
}

/* out[i] = the samples' i-th numbers, from rows of numbers; rows beyond the last repeat it */
INLINE void transpose_in(lane (*restrict out)[REGISTERS], const double *restrict in, int width, int count,
                         int registers)
{
    for (int r = 0; r < registers; r++) {
        const double *row[WIDTH];
        UNROLL for (int k = 0; k < WIDTH; k++) {
            int s = r * WIDTH + k;
            row[k] = in + (long)(s < count ? s : count - 1) * width;
        }
        int i = 0;
        for (; i + WIDTH <= width; i += WIDTH) {
            lane square[WIDTH];
            UNROLL for (int k = 0; k < WIDTH; k++) square[k] = *(loose *)(row[k] + i);
            transpose(square);
            UNROLL for (int k = 0; k < WIDTH; k++) out[i + k][r] = square[k];
        }
        for (; i < width; i++)
            UNROLL for (int k = 0; k < WIDTH; k++) out[i][r][k] = row[k][i];
    }
}

/* the samples' numbers, sample by sample */
INLINE void transpose_out(double *restrict out, lane (*restrict in)[REGISTERS], int width, int registers)
{
    for (int r = 0; r < registers; r++) {
        double *rows = out + r * WIDTH * width;
        int i = 0;
        for (; i + WIDTH <= width; i += WIDTH) {
            lane square[WIDTH];
            UNROLL for (int k = 0; k < WIDTH; k++) square[k] = in[i + k][r];
            transpose(square);
            UNROLL for (int k = 0; k < WIDTH; k++) *(loose *)(rows + k * width + i) = square[k];
        }
        for (; i < width; i++)
            UNROLL for (int k = 0; k < WIDTH; k++) rows[k * width + i] = in[i][r][k];
    }
}

/* A layer's tiles: six neurons, then four, then one; a rest of eight is two tiles of four. */
#define SIX(from, to) ((from) + TILE <= (to) && (to) - (from) != 8)

INLINE void forward_tile(lane (*restrict y)[REGISTERS], lane (*restrict x)[REGISTERS], const double *restrict w,
                         int in, int rows_at_once, int r, int last)
{
    lane sum[TILE][2];
    UNROLL for (int o = 0; o < rows_at_once; o++)
        UNROLL for (int k = 0; k < 2; k++) sum[o][k] = all(w[o * (in + 1) + in]);
    for (int i = 0; i < in; i++) {
        lane held_x[2];
        UNROLL for (int k = 0; k < 2; k++) held_x[k] = held(x[i][r + k]);
        UNROLL for (int o = 0; o < rows_at_once; o++)
            UNROLL for (int k = 0; k < 2; k++) sum[o][k] += all(w[o * (in + 1) + i]) * held_x[k];
    }
    UNROLL for (int o = 0; o < rows_at_once; o++)
        UNROLL for (int k = 0; k < 2; k++) {
            lane z = sum[o][k];
            y[o][r + k] = last ? z : keep(z > 0, z);
        }
}

INLINE void forward_layer(lane (*restrict y)[REGISTERS], lane (*restrict x)[REGISTERS], const double *restrict w,
                          int in, int out, int last, int registers)
{
    int o = 0;
    for (; SIX(o, out); o += TILE)
        for (int r = 0; r < registers; r += 2) forward_tile(y + o, x, w + o * (in + 1), in, TILE, r, last);
    for (; o + 4 <= out; o += 4)
        for (int r = 0; r < registers; r += 2) forward_tile(y + o, x, w + o * (in + 1), in, 4, r, last);
    for (; o < out; o++)
        for (int r = 0; r < registers; r += 2) forward_tile(y + o, x, w + o * (in + 1), in, 1, r, last);
}

INLINE void backward_tile(lane (*restrict dx)[REGISTERS], lane (*restrict x)[REGISTERS],
                          lane (*restrict dy)[REGISTERS], const double *restrict w, int in, int out, int columns, int r)
{
    lane sum[TILE][2] = {};
    for (int o = 0; o < out; o++) {
        lane d[2];
        UNROLL for (int k = 0; k < 2; k++) d[k] = held(dy[o][r + k]);
        UNROLL for (int i = 0; i < columns; i++)
            UNROLL for (int k = 0; k < 2; k++) sum[i][k] += all(w[o * (in + 1) + i]) * d[k];
    }
    UNROLL for (int i = 0; i < columns; i++)
        UNROLL for (int k = 0; k < 2; k++) dx[i][r + k] = keep(x[i][r + k] > 0, sum[i][k]);
}

/* the adjoints of a layer's inputs, which are outputs of a ReLU */
INLINE void backward_layer(lane (*restrict dx)[REGISTERS], lane (*restrict x)[REGISTERS],
                           lane (*restrict dy)[REGISTERS], const double *restrict w, int in, int out,
                           int registers)
{
    int i = 0;
    for (; SIX(i, in); i += TILE)
        for (int r = 0; r < registers; r += 2) backward_tile(dx + i, x + i, dy, w + i, in, out, TILE, r);
    for (; i + 4 <= in; i += 4)
        for (int r = 0; r < registers; r += 2) backward_tile(dx + i, x + i, dy, w + i, in, out, 4, r);
    for (; i < in; i++)
        for (int r = 0; r < registers; r += 2) backward_tile(dx + i, x + i, dy, w + i, in, out, 1, r);
}

INLINE void gradient_tile(double *restrict g, const double *restrict x, lane (*restrict dy)[REGISTERS], int in,
                          int outs, int vectors, int count)
{
    lane sum[TILE][2] = {};
    for (int s = 0; s < count; s++) {
        lane row[2];
        UNROLL for (int k = 0; k < vectors; k++) row[k] = held(*(loose *)(x + s * in + k * WIDTH));
        UNROLL for (int o = 0; o < outs; o++)
            UNROLL for (int k = 0; k < vectors; k++) sum[o][k] += all(((double *)dy[o])[s]) * row[k];
    }
    UNROLL for (int o = 0; o < outs; o++)
        UNROLL for (int k = 0; k < vectors; k++) *(loose *)(g + o * (in + 1) + k * WIDTH) += sum[o][k];
}

/* from the number `from` of a weight row on, and the bias, whose input is 1: sums over the lanes */
INLINE void gradient_rest(double *restrict g, lane (*restrict x)[REGISTERS], lane (*restrict dy)[REGISTERS], int in,
                          int from, int outs, int registers)
{
    for (int i = from; i <= in; i++) {
        lane sum[WIDTH] = {};
        for (int r = 0; r < registers; r++)
            UNROLL for (int o = 0; o < outs; o++) sum[o] += dy[o][r] * x[i][r];
        transpose(sum);
        UNROLL for (int k = 1; k < WIDTH; k++) sum[0] += sum[k];
        UNROLL for (int o = 0; o < outs; o++) g[o * (in + 1) + i] += sum[0][o];
    }
}

INLINE void gradient_rows(double *restrict g, const double *restrict x, lane (*restrict dy)[REGISTERS], int in,
                          int outs, int count)
{
    int i = 0;
    for (; i + 2 * WIDTH <= in; i += 2 * WIDTH) gradient_tile(g + i, x + i, dy, in, outs, 2, count);
    for (; i + WIDTH <= in; i += WIDTH) gradient_tile(g + i, x + i, dy, in, outs, 1, count);
}

/* adds the gradient of a layer's weights and biases; its inputs are given sample by sample and number by number */
INLINE void gradient_layer(double *restrict g, const double *restrict x, lane (*restrict columns)[REGISTERS],
                           lane (*restrict dy)[REGISTERS], int in, int out, int count, int registers)
{
    int o = 0, from = in / WIDTH * WIDTH;
    for (; SIX(o, out); o += TILE) gradient_rows(g + o * (in + 1), x, dy + o, in, TILE, count);
    for (; o + 4 <= out; o += 4) gradient_rows(g + o * (in + 1), x, dy + o, in, 4, count);
    for (; o < out; o++) gradient_rows(g + o * (in + 1), x, dy + o, in, 1, count);
    for (o = 0; o + WIDTH <= out; o += WIDTH)
        gradient_rest(g + o * (in + 1), columns, dy + o, in, from, WIDTH, registers);
    for (; o < out; o++) gradient_rest(g + o * (in + 1), columns, dy + o, in, from, 1, registers);
}

/* e^x for x <= 0, to about one unit in the last place: 2^k times the Taylor series of the rest */
INLINE lane exponential(lane x)
{
    static const double coefficients[] = {1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800,
        1.0 / 362880, 1.0 / 40320, 1.0 / 5040, 1.0 / 720, 1.0 / 120, 1.0 / 24, 1.0 / 6, 0.5, 1, 1};
    const double magic = 6755399441055744.0; /* 1.5 * 2^52 */
    x = choose(x < -700, all(-700), x);
    mask bits;
    lane shifted = x * all(1.4426950408889634) + all(magic);
    memcpy(&bits, &shifted, sizeof bits);
    __asm__("" : "+x"(shifted)); /* -ffast-math would cancel the magic number */
    lane k = shifted - all(magic);
    lane r = x - k * all(6.93147180369123816490e-01) - k * all(1.90821492927058770002e-10);
    lane p = all(coefficients[0]);
    UNROLL for (int i = 1; i < 14; i++) p = p * r + all(coefficients[i]);
    bits = (bits + 1023) << 52;
    lane scale;
    memcpy(&scale, &bits, sizeof scale);
    return p * scale;
}

/* losses and the adjoints of the last layer; samples from `count` on have the adjoint 0 */
static double loss_of(lane (*restrict dy)[REGISTERS], lane (*restrict y)[REGISTERS], int out, int count, double share,
                      int registers)
{
    double sum_of_losses = 0;
    for (int r = 0; r < registers; r++) {
        lane valid, loss;
        for (int k = 0; k < WIDTH; k++) valid[k] = r * WIDTH + k < count ? 1.0 : 0.0;
#ifdef CROSS_ENTROPY
        lane largest = y[0][r], sum = {}, right = {}, mass = {};
        for (int o = 1; o < out; o++) largest = choose(y[o][r] > largest, y[o][r], largest);
        for (int o = 0; o < out; o++) {
            lane e = exponential(y[o][r] - largest);
            dy[o][r] = e;
            sum += e;
            right += targets[o][r] * y[o][r];
            mass += targets[o][r];
        }
        lane scale = mass * valid * share / sum;
        for (int o = 0; o < out; o++) dy[o][r] = dy[o][r] * scale - targets[o][r] * (valid * share);
        for (int k = 0; k < WIDTH; k++) loss[k] = log(sum[k]);
        loss = (loss + largest) * mass - right;
#else
        loss = 1 - targets[0][r] * y[0][r];
        dy[0][r] = keep(loss > 0, -targets[0][r] * (valid * share));
        loss = keep(loss > 0, loss);
#endif
        for (int k = 0; k < WIDTH; k++) sum_of_losses += valid[k] * loss[k];
    }
    return sum_of_losses;
}

INLINE double total(lane x)
{
    double sum = 0;
    UNROLL for (int k = 0; k < WIDTH; k++) sum += x[k];
    return sum;
}

/* some neurons' sums for one sample, along their weight rows */
INLINE void single_tile(double *restrict y, const double *restrict x, const double *restrict w, int in, int outs,
                        int last)
{
    lane sum[8] = {};
    int i = 0;
    for (; i + WIDTH <= in; i += WIDTH) {
        lane here = *(loose *)(x + i);
        UNROLL for (int o = 0; o < outs; o++) sum[o] += *(loose *)(w + o * (in + 1) + i) * here;
    }
    UNROLL for (int o = 0; o < outs; o++) {
        double z = total(sum[o]) + w[o * (in + 1) + in];
        for (int j = i; j < in; j++) z += w[o * (in + 1) + j] * x[j];
        y[o] = last || z > 0 ? z : 0;
    }
}

INLINE void single_layer(double *restrict y, const double *restrict x, const double *restrict w, int in, int out,
                         int last)
{
    int o = 0;
    for (; o + 8 <= out; o += 8) single_tile(y + o, x, w + o * (in + 1), in, 8, last);
    for (; o < out; o++) single_tile(y + o, x, w + o * (in + 1), in, 1, last);
}

INLINE void single_backward(double *restrict dx, const double *restrict x, const double *restrict dy,
                            const double *restrict w, int in, int out)
{
    memset(dx, 0, in * sizeof *dx);
    for (int o = 0; o < out; o++)
        for (int i = 0; i < in; i++) dx[i] += dy[o] * w[o * (in + 1) + i];
    for (int i = 0; i < in; i++) dx[i] = x[i] > 0 ? dx[i] : 0;
}

INLINE void single_gradient(double *restrict g, const double *restrict x, const double *restrict dy, int in, int out,
                            int fresh)
{
    for (int o = 0; o < out; o++, g += in + 1) {
        for (int i = 0; i < in; i++) g[i] = (fresh ? 0 : g[i]) + dy[o] * x[i];
        g[in] = (fresh ? 0 : g[in]) + dy[o];
    }
}

/* `batch` for one sample: everything runs along the weight rows */
static double single(const double *x, const double *y, const double *parameters, double *target, double scale)
{
    static double v[16][MOST], d[2][MOST];
    const double *w = parameters;
    long start[16];
    memcpy(v[0], x, sizes[0] * sizeof *x);
    UNROLL for (int l = 0; l < LAYERS; l++) {
        start[l] = w - parameters;
        single_layer(v[l + 1], v[l], w, sizes[l], sizes[l + 1], l == LAYERS - 1);
        w += sizes[l + 1] * (sizes[l] + 1);
    }
    double loss, *z = v[LAYERS], *dy = d[0];
#ifdef CROSS_ENTROPY
    double largest = z[0], sum = 0, mass = 0;
    int out = sizes[LAYERS];
    loss = 0;
    for (int o = 1; o < out; o++) largest = z[o] > largest ? z[o] : largest;
    for (int o = 0; o < out; o++) {
        sum += dy[o] = exp(z[o] - largest);
        loss -= y[o] * z[o];
        mass += y[o];
    }
    loss += mass * (largest + log(sum));
    for (int o = 0; o < out; o++) dy[o] = scale * (mass * dy[o] / sum - y[o]);
#else
    loss = 1 - y[0] * z[0];
    dy[0] = loss > 0 ? -scale * y[0] : 0;
    loss = loss > 0 ? loss : 0;
#endif
    UNROLL for (int k = 0; k < LAYERS; k++) {
        int l = LAYERS - 1 - k;
        if (l > 0) single_backward(d[(k + 1) % 2], v[l], d[k % 2], parameters + start[l], sizes[l], sizes[l + 1]);
        single_gradient(target + start[l], v[l], d[k % 2], sizes[l], sizes[l + 1], target != parameters);
    }
    return loss;
}

static long parameter_count(void)
{
    long n = 0;
    for (int l = 0; l < LAYERS; l++) n += sizes[l + 1] * (sizes[l] + 1);
    return n;
}

/* the mean loss over the samples; its gradient, times `scale`, becomes the target, or is added to the parameters */
static double batch(const double *x, const double *y, int count, const double *parameters, double *target, double scale)
{
    double sum = 0, share = scale / count;
    if (count == 1)
        sum = single(x, y, parameters, target, scale);
    else if (target != parameters)
        memset(target, 0, parameter_count() * sizeof *target);
    for (int first = 0; count > 1 && first < count; first += CHUNK) {
        int here = count - first < CHUNK ? count - first : CHUNK;
        int registers = (here + BLOCK - 1) / BLOCK * 2;
        const double *input = x + (long)first * sizes[0], *w = parameters;
        transpose_in(values[0], input, sizes[0], here, registers);
        transpose_in(targets, y + (long)first * TARGETS, TARGETS, here, registers);
        long start[16];
        UNROLL for (int l = 0; l < LAYERS; l++) {
            int in = sizes[l], out = sizes[l + 1];
            start[l] = w - parameters;
            for (int r = 0; r < registers; r++) values[l][in][r] = all(1);
            forward_layer(values[l + 1], values[l], w, in, out, l == LAYERS - 1, registers);
            if (l < LAYERS - 1) transpose_out(rows[l + 1], values[l + 1], out, registers);
            w += out * (in + 1);
        }
        sum += loss_of(adjoints[0], values[LAYERS], sizes[LAYERS], here, share, registers);
        UNROLL for (int k = 0; k < LAYERS; k++) {
            int l = LAYERS - 1 - k, in = sizes[l], out = sizes[l + 1];
            lane (*dx)[REGISTERS] = adjoints[(k + 1) % 2], (*dy)[REGISTERS] = adjoints[k % 2];
            if (l > 0) backward_layer(dx, values[l], dy, parameters + start[l], in, out, registers);
            gradient_layer(target + start[l], l > 0 ? rows[l] : input, values[l], dy, in, out, here, registers);
        }
    }
    sum /= count;
    if (PENALTY > 0) {
        long n = parameter_count();
        double squares = 0;
        for (long i = 0; i < n; i++) {
            squares += parameters[i] * parameters[i];
            target[i] += scale * 2 * PENALTY * parameters[i];
        }
        sum += PENALTY * squares;
    }
    return sum;
}

/* one loss with its gradient */
double gradient(const double *x, const double *y, long samples, const double *parameters, double *out)
{
    return batch(x, y, samples, parameters, out, 1);
}

/* mini-batch SGD, `epochs` times over the samples in their order; the loss of every step */
void sgd(const double *x, const double *y, long samples, long batch_size, long epochs, double lr, double *parameters,
         double *scratch, double *losses)
{
    long n = parameter_count();
    for (long e = 0; e < epochs; e++)
        for (long first = 0; first < samples; first += batch_size) {
            long here = samples - first < batch_size ? samples - first : batch_size;
            const double *a = x + first * sizes[0], *b = y + first * TARGETS;
            if (here <= CHUNK && PENALTY == 0)
                *losses++ = batch(a, b, here, parameters, parameters, -lr);
            else {
                *losses++ = batch(a, b, here, parameters, scratch, 1);
                for (long i = 0; i < n; i++) parameters[i] -= lr * scratch[i];
            }
        }
}

/* what one core can do at most: ten independent chains of fused multiply-adds; floating point operations per second */
double peak(void)
{
    lane a[10];
    for (int k = 0; k < 10; k++) a[k] = all(k);
    lane x = all(0.999), y = all(1e-9);
    struct timespec start, end;
    const long turns = 3000000;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (long i = 0; i < turns; i++) {
        UNROLL for (int k = 0; k < 10; k++) a[k] = a[k] * x + y;
        __asm__ volatile("" : "+x"(a[0]));
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    for (int k = 1; k < 10; k++) a[0] += a[k];
    __asm__ volatile("" : : "x"(a[0]));
    return turns * 10.0 * 2 * WIDTH / (end.tv_sec - start.tv_sec + 1e-9 * (end.tv_nsec - start.tv_nsec));
}
