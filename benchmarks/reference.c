/* A network trained in C by hand: what the compiler is measured against.
 *
 * Built once per network, its sizes being constants:
 *
 *     cc -O3 -march=native -ffast-math -fPIC -DSIZES=64,32,10 -DCROSS_ENTROPY -c reference.c
 *     cc -shared reference.o -o reference.so -lm
 *
 * A lane is one register of doubles, one sample in each. A lane block is 8 samples; the matrix products of a layer work
 * on four lane blocks (32 samples) that stay in the first caches, a tile of neurons and samples at a time in registers.
 * The gradient of the weights runs along a weight row instead, so that no register is ever summed crosswise.
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
#define BLOCK 8                 /* samples in a lane block */
#define CHUNK (4 * BLOCK)       /* samples worked on at once */
#define REGISTERS (CHUNK / WIDTH)

typedef double lane __attribute__((vector_size(8 * WIDTH)));
typedef double loose __attribute__((vector_size(8 * WIDTH), aligned(8), may_alias));
typedef long mask __attribute__((vector_size(8 * WIDTH)));

static const int sizes[] = {SIZES};
#define LAYERS ((int)(sizeof sizes / sizeof *sizes) - 1)
#define MOST 2048               /* no layer is wider */
#define TILE 6                  /* neurons in a tile: with two registers of samples each, 12 running sums */
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

/* values[i] = the samples' i-th numbers, from rows of numbers `stride` apart; rows beyond the last repeat it */
INLINE void transpose_in(lane (*restrict out)[REGISTERS], const double *restrict in, int width, int count, int padded)
{
    for (int s = 0; s < padded; s++) {
        const double *row = in + (long)(s < count ? s : count - 1) * width;
        for (int i = 0; i < width; i++) ((double *)out[i])[s] = row[i];
    }
}

INLINE void transpose_out(double *restrict out, lane (*restrict in)[REGISTERS], int width, int padded)
{
    for (int s = 0; s < padded; s++)
        for (int i = 0; i < width; i++) out[s * width + i] = ((double *)in[i])[s];
}

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
    for (; o + TILE <= out; o += TILE)
        for (int r = 0; r < registers; r += 2) forward_tile(y + o, x, w + o * (in + 1), in, TILE, r, last);
    for (; o + 4 <= out; o += 4)
        for (int r = 0; r < registers; r += 2) forward_tile(y + o, x, w + o * (in + 1), in, 4, r, last);
    for (; o + 2 <= out; o += 2)
        for (int r = 0; r < registers; r += 2) forward_tile(y + o, x, w + o * (in + 1), in, 2, r, last);
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
    for (; i + TILE <= in; i += TILE)
        for (int r = 0; r < registers; r += 2) backward_tile(dx + i, x + i, dy, w + i, in, out, TILE, r);
    for (; i + 4 <= in; i += 4)
        for (int r = 0; r < registers; r += 2) backward_tile(dx + i, x + i, dy, w + i, in, out, 4, r);
    for (; i < in; i++)
        for (int r = 0; r < registers; r += 2) backward_tile(dx + i, x + i, dy, w + i, in, out, 1, r);
}

INLINE void gradient_tile(double *restrict g, const double *restrict x, int stride, lane (*restrict dy)[REGISTERS],
                          int in, int outs, int vectors, int count)
{
    lane sum[TILE][2];
    UNROLL for (int o = 0; o < outs; o++)
        UNROLL for (int k = 0; k < vectors; k++) sum[o][k] = *(loose *)(g + o * (in + 1) + k * WIDTH);
    for (int s = 0; s < count; s++) {
        lane row[2];
        UNROLL for (int k = 0; k < vectors; k++) row[k] = held(*(loose *)(x + (long)s * stride + k * WIDTH));
        UNROLL for (int o = 0; o < outs; o++)
            UNROLL for (int k = 0; k < vectors; k++) sum[o][k] += all(((double *)dy[o])[s]) * row[k];
    }
    UNROLL for (int o = 0; o < outs; o++)
        UNROLL for (int k = 0; k < vectors; k++) *(loose *)(g + o * (in + 1) + k * WIDTH) = sum[o][k];
}

INLINE double total(lane x)
{
    double sum = 0;
    UNROLL for (int k = 0; k < WIDTH; k++) sum += x[k];
    return sum;
}

INLINE void gradient_rows(double *restrict g, const double *restrict x, int stride, lane (*restrict columns)[REGISTERS],
                          lane (*restrict dy)[REGISTERS], int in, int outs, int count, int registers)
{
    int i = 0;
    for (; i + 2 * WIDTH <= in; i += 2 * WIDTH) gradient_tile(g + i, x + i, stride, dy, in, outs, 2, count);
    for (; i + WIDTH <= in; i += WIDTH) gradient_tile(g + i, x + i, stride, dy, in, outs, 1, count);
    UNROLL for (int o = 0; o < outs; o++) {
        for (int j = i; j < in; j++) {
            lane sum = {};
            for (int r = 0; r < registers; r++) sum += dy[o][r] * columns[j][r];
            g[o * (in + 1) + j] += total(sum);
        }
        lane sum = {};
        for (int r = 0; r < registers; r++) sum += dy[o][r];
        g[o * (in + 1) + in] += total(sum);
    }
}

/* adds the gradient of a layer's weights and biases; its inputs are given sample by sample and number by number */
INLINE void gradient_layer(double *restrict g, const double *restrict x, int stride, lane (*restrict columns)[REGISTERS],
                           lane (*restrict dy)[REGISTERS], int in, int out, int count, int registers)
{
    int o = 0;
    for (; o + TILE <= out; o += TILE)
        gradient_rows(g + o * (in + 1), x, stride, columns, dy + o, in, TILE, count, registers);
    for (; o + 4 <= out; o += 4)
        gradient_rows(g + o * (in + 1), x, stride, columns, dy + o, in, 4, count, registers);
    for (; o < out; o++)
        gradient_rows(g + o * (in + 1), x, stride, columns, dy + o, in, 1, count, registers);
}

/* e^x for x <= 0, to about one unit in the last place: 2^k times the Taylor series of the rest */
INLINE lane exponential(lane x)
{
    static const double coefficients[] = {1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880,
        1.0 / 40320, 1.0 / 5040, 1.0 / 720, 1.0 / 120, 1.0 / 24, 1.0 / 6, 0.5, 1, 1};
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

#ifdef CROSS_ENTROPY
#define TARGETS sizes[LAYERS]
#else
#define TARGETS 1
#endif

/* some neurons' sums for one sample, along their weight rows */
INLINE void single_tile(double *restrict y, const double *restrict x, const double *restrict w, int in, int outs, int last)
{
    lane sum[4] = {};
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

INLINE void single_layer(double *restrict y, const double *restrict x, const double *restrict w, int in, int out, int last)
{
    int o = 0;
    for (; o + 4 <= out; o += 4) single_tile(y + o, x, w + o * (in + 1), in, 4, last);
    for (; o < out; o++) single_tile(y + o, x, w + o * (in + 1), in, 1, last);
}

/* the same for one sample: everything runs along the weight rows */
static double single(const double *x, const double *y, const double *parameters, double *gradient)
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
    for (int o = 0; o < out; o++) dy[o] = mass * dy[o] / sum - y[o];
#else
    loss = 1 - y[0] * z[0];
    dy[0] = loss > 0 ? -y[0] : 0;
    loss = loss > 0 ? loss : 0;
#endif
    UNROLL for (int k = 0; k < LAYERS; k++) {
        int l = LAYERS - 1 - k, in = sizes[l];
        double *restrict dx = d[(k + 1) % 2], *restrict g = gradient + start[l];
        const double *restrict here = d[k % 2], *restrict weights = parameters + start[l], *restrict values = v[l];
        if (l > 0) memset(dx, 0, in * sizeof *dx);
        for (int o = 0; o < sizes[l + 1]; o++) {
            for (int i = 0; i < in; i++) g[o * (in + 1) + i] += here[o] * values[i];
            g[o * (in + 1) + in] += here[o];
            if (l > 0) for (int i = 0; i < in; i++) dx[i] += here[o] * weights[o * (in + 1) + i];
        }
        if (l > 0) for (int i = 0; i < in; i++) dx[i] = values[i] > 0 ? dx[i] : 0;
    }
    return loss;
}

/* the mean loss over the samples; adds its gradient to `gradient` */
static double batch(const double *x, const double *y, int count, const double *parameters, double *gradient)
{
    double sum = 0, share = 1.0 / count;
    if (count == 1) sum = single(x, y, parameters, gradient);
    for (int first = 0; count > 1 && first < count; first += CHUNK) {
        int here = count - first < CHUNK ? count - first : CHUNK;
        int registers = (here + BLOCK - 1) / BLOCK * (BLOCK / WIDTH);
        const double *input = x + (long)first * sizes[0], *w = parameters;
        transpose_in(values[0], input, sizes[0], here, registers * WIDTH);
        transpose_in(targets, y + (long)first * TARGETS, TARGETS, here, registers * WIDTH);
        long start[16];
        UNROLL for (int l = 0; l < LAYERS; l++) {
            start[l] = w - parameters;
            forward_layer(values[l + 1], values[l], w, sizes[l], sizes[l + 1], l == LAYERS - 1, registers);
            if (l < LAYERS - 1) transpose_out(rows[l + 1], values[l + 1], sizes[l + 1], registers * WIDTH);
            w += sizes[l + 1] * (sizes[l] + 1);
        }
        sum += loss_of(adjoints[0], values[LAYERS], sizes[LAYERS], here, share, registers);
        UNROLL for (int k = 0; k < LAYERS; k++) {
            int l = LAYERS - 1 - k;
            lane (*dy)[REGISTERS] = adjoints[k % 2];
            if (l > 0) {
                gradient_layer(gradient + start[l], rows[l], sizes[l], values[l], dy, sizes[l], sizes[l + 1], here, registers);
                backward_layer(adjoints[(k + 1) % 2], values[l], dy, parameters + start[l], sizes[l], sizes[l + 1], registers);
            } else
                gradient_layer(gradient, input, sizes[0], values[0], dy, sizes[0], sizes[1], here, registers);
        }
    }
    sum /= count;
#ifdef PENALTY
    long n = 0;
    for (int l = 0; l < LAYERS; l++) n += sizes[l + 1] * (sizes[l] + 1);
    double squares = 0;
    for (long i = 0; i < n; i++) {
        squares += parameters[i] * parameters[i];
        gradient[i] += 2 * PENALTY * parameters[i];
    }
    sum += PENALTY * squares;
#endif
    return sum;
}

static long parameter_count(void)
{
    long n = 0;
    for (int l = 0; l < LAYERS; l++) n += sizes[l + 1] * (sizes[l] + 1);
    return n;
}

/* one loss with its gradient */
double gradient(const double *x, const double *y, long samples, const double *parameters, double *out)
{
    memset(out, 0, parameter_count() * sizeof *out);
    return batch(x, y, samples, parameters, out);
}

/* mini-batch SGD, `epochs` times over the samples in their order; the loss of every step */
void sgd(const double *x, const double *y, long samples, long batch_size, long epochs, double lr, double *parameters,
         double *scratch, double *losses)
{
    long n = parameter_count();
    for (long e = 0; e < epochs; e++)
        for (long first = 0; first < samples; first += batch_size) {
            long here = samples - first < batch_size ? samples - first : batch_size;
            memset(scratch, 0, n * sizeof *scratch);
            *losses++ = batch(x + first * sizes[0], y + first * TARGETS, here, parameters, scratch);
            for (long i = 0; i < n; i++) parameters[i] -= lr * scratch[i];
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
