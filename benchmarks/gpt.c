/* A small GPT trained in C by hand: what the compiler is measured against on texts.
 *
 *     cc -O3 -march=native -ffast-math -fPIC -shared gpt.c -o gpt.so -lm
 *
 * The model is `micrograd_like.transformer.GPT` in the sizes of microgpt, its 4,192 parameters in the same order. A text's
 * positions lie side by side in registers, one position in each lane, so that a weight is loaded once for all of them and
 * nothing is summed crosswise; the gradients of the weights run along a weight row instead. A text takes as many registers
 * as it needs: lanes beyond its end compute something and pass on nothing.
 */
#include <math.h>
#include <string.h>

#ifdef __AVX512F__
#define LANES 8
#else
#define LANES 4
#endif
#define MOST (BLOCK / LANES) /* registers of a text */

enum { TOKENS = 27, BLOCK = 16, WIDTH = 16, HEADS = 4, SIZE = WIDTH / HEADS, HIDDEN = 4 * WIDTH };
enum {
    TOKEN = 0, PLACE = TOKEN + TOKENS * WIDTH, QUERY = PLACE + BLOCK * WIDTH, KEY = QUERY + WIDTH * WIDTH,
    VALUE = KEY + WIDTH * WIDTH, OUTPUT = VALUE + WIDTH * WIDTH, UP = OUTPUT + WIDTH * WIDTH,
    DOWN = UP + HIDDEN * WIDTH, HEAD = DOWN + WIDTH * HIDDEN, PARAMETERS = HEAD + TOKENS * WIDTH
};

typedef double lane __attribute__((vector_size(8 * LANES)));
typedef long mask __attribute__((vector_size(8 * LANES)));
typedef double loose __attribute__((vector_size(8 * LANES), aligned(8), may_alias));
#define INLINE static inline __attribute__((always_inline))

INLINE lane all(double x) { return x - (lane){0}; }

INLINE lane choose(mask where, lane x, lane y) { return (lane)(((mask)x & where) | ((mask)y & ~where)); }

INLINE lane exps(lane x)
{
    double in[LANES], out[LANES];
    memcpy(in, &x, sizeof x);
    for (int i = 0; i < LANES; i++) out[i] = exp(in[i]);
    memcpy(&x, out, sizeof x);
    return x;
}

INLINE lane largest(lane x, lane y) { return choose(x > y, x, y); }

INLINE double total(lane x)
{
    double sum = 0;
    for (int i = 0; i < LANES; i++) sum += x[i];
    return sum;
}

/* y = W x, and with `more` y += W x; R registers of positions. */
INLINE void linear(int R, int rows, int columns, const double *w, lane x[][MOST], lane y[][MOST])
{
    const int few = R > 2 ? (rows % 2 ? 1 : 2) : rows % 4 ? 3 : 4; /* rows at once: their sums stay in registers */
    for (int i = 0; i < rows; i += few) {
        lane sum[4][MOST] = {{{0}}};
        for (int k = 0; k < columns; k++)
            for (int j = 0; j < few; j++)
                for (int r = 0; r < R; r++) sum[j][r] += w[(i + j) * columns + k] * x[k][r];
        for (int j = 0; j < few; j++)
            for (int r = 0; r < R; r++) y[i + j][r] = sum[j][r];
    }
}

/* dx += W' dy; dW += dy x', the gradients of a row of weights side by side. `xs`: x, position by position. */
INLINE void linear_back(int R, int n, int rows, int columns, const double *w, double *dw, double *xs, lane dx[][MOST],
                        lane dy[][MOST])
{
    const int few = R > 2 ? 2 : 4;
    for (int k = 0; k < columns; k += few) {
        lane sum[4][MOST];
        for (int j = 0; j < few; j++)
            for (int r = 0; r < R; r++) sum[j][r] = dx[k + j][r];
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < few; j++)
                for (int r = 0; r < R; r++) sum[j][r] += w[i * columns + k + j] * dy[i][r];
        for (int j = 0; j < few; j++)
            for (int r = 0; r < R; r++) dx[k + j][r] = sum[j][r];
    }
    for (int k = 0; k < columns; k += 2 * LANES)
        for (int i = 0; i < rows; i++) {
            double *row = dw + i * columns + k;
            lane first = *(loose *)row, second = *(loose *)(row + LANES);
            for (int t = 0; t < n; t++) {
                lane g = all(((double *)dy[i])[t]);
                first += g * *(loose *)(xs + t * columns + k);
                second += g * *(loose *)(xs + t * columns + k + LANES);
            }
            *(loose *)row = first;
            *(loose *)(row + LANES) = second;
        }
}

INLINE void positions(int R, int columns, lane x[][MOST], double *xs)
{
    for (int t = 0; t < LANES * R; t++)
        for (int k = 0; k < columns; k++) xs[t * columns + k] = ((double *)x[k])[t];
}

INLINE void norm(int R, lane x[][MOST], lane y[][MOST], lane scale[MOST])
{
    for (int r = 0; r < R; r++) {
        lane sum = {0};
        for (int k = 0; k < WIDTH; k++) sum += x[k][r] * x[k][r];
        sum = sum / (double)WIDTH + 1e-5;
        for (int i = 0; i < LANES; i++) scale[r][i] = 1 / sqrt(sum[i]);
        for (int k = 0; k < WIDTH; k++) y[k][r] = x[k][r] * scale[r];
    }
}

/* dx += the gradient through y = x · scale. */
INLINE void norm_back(int R, lane x[][MOST], lane scale[MOST], lane dx[][MOST], lane dy[][MOST])
{
    for (int r = 0; r < R; r++) {
        lane sum = {0}, s = scale[r];
        for (int k = 0; k < WIDTH; k++) sum += x[k][r] * dy[k][r];
        sum *= s * s * s / (double)WIDTH;
        for (int k = 0; k < WIDTH; k++) dx[k][r] += s * dy[k][r] - sum * x[k][r];
    }
}

INLINE double one(int R, const double *p, const double *tokens, const double *targets, int n, double share, double *g)
{
    lane x0[WIDTH][MOST], x1[WIDTH][MOST], n1[WIDTH][MOST], q[WIDTH][MOST], k[WIDTH][MOST], v[WIDTH][MOST], o[WIDTH][MOST], x2[WIDTH][MOST];
    lane n2[WIDTH][MOST], up[HIDDEN][MOST], h[HIDDEN][MOST], x3[WIDTH][MOST], out[TOKENS][MOST], s0[MOST], s1[MOST], s2[MOST];
    lane shares[HEADS][BLOCK][MOST];
    double xs[BLOCK * HIDDEN];

    for (int t = 0; t < LANES * R; t++) {
        const double *token = p + TOKEN + WIDTH * (t < n ? (int)tokens[t] : 0), *place = p + PLACE + WIDTH * (t < n ? t : 0);
        for (int i = 0; i < WIDTH; i++) ((double *)x0[i])[t] = token[i] + place[i];
    }
    norm(R, x0, x1, s0);
    norm(R, x1, n1, s1);
    linear(R, WIDTH, WIDTH, p + QUERY, n1, q);
    linear(R, WIDTH, WIDTH, p + KEY, n1, k);
    linear(R, WIDTH, WIDTH, p + VALUE, n1, v);
    for (int head = 0; head < HEADS; head++) {
        lane(*s)[MOST] = shares[head], most[MOST], sum[MOST];
        for (int r = 0; r < R; r++) most[r] = all(-INFINITY), sum[r] = all(0);
        for (int u = 0; u < n; u++)
            for (int r = 0; r < R; r++) {
                lane dot = {0};
                for (int d = head * SIZE; d < (head + 1) * SIZE; d++) dot += q[d][r] * ((double *)k[d])[u];
                for (int i = 0; i < LANES; i++) dot[i] = LANES * r + i < u ? -1e300 : dot[i] * 0.5;
                s[u][r] = dot;
                most[r] = largest(most[r], dot);
            }
        for (int u = 0; u < n; u++)
            for (int r = 0; r < R; r++) {
                s[u][r] = exps(s[u][r] - most[r]);
                sum[r] += s[u][r];
            }
        for (int u = 0; u < n; u++)
            for (int r = 0; r < R; r++) s[u][r] /= sum[r];
        for (int d = head * SIZE; d < (head + 1) * SIZE; d++)
            for (int r = 0; r < R; r++) {
                lane seen = {0};
                for (int u = 0; u < n; u++) seen += s[u][r] * ((double *)v[d])[u];
                o[d][r] = seen;
            }
    }
    linear(R, WIDTH, WIDTH, p + OUTPUT, o, x2);
    for (int i = 0; i < WIDTH; i++)
        for (int r = 0; r < R; r++) x2[i][r] += x1[i][r];
    norm(R, x2, n2, s2);
    linear(R, HIDDEN, WIDTH, p + UP, n2, up);
    for (int i = 0; i < HIDDEN; i++)
        for (int r = 0; r < R; r++) h[i][r] = choose(up[i][r] > 0, up[i][r], (lane){0});
    linear(R, WIDTH, HIDDEN, p + DOWN, h, x3);
    for (int i = 0; i < WIDTH; i++)
        for (int r = 0; r < R; r++) x3[i][r] += x2[i][r];
    linear(R, TOKENS, WIDTH, p + HEAD, x3, out);

    double loss = 0;
    for (int r = 0; r < R; r++) {
        lane most = out[0][r], sum = {0}, mine = {0};
        for (int j = 1; j < TOKENS; j++) most = largest(most, out[j][r]);
        for (int t = LANES * r; t < n && t < LANES * (r + 1); t++) mine[t % LANES] = out[(int)targets[t]][r][t % LANES];
        for (int j = 0; j < TOKENS; j++) sum += out[j][r] = exps(out[j][r] - most);
        for (int t = LANES * r; t < n && t < LANES * (r + 1); t++)
            loss += log(sum[t % LANES]) + most[t % LANES] - mine[t % LANES];
        lane each = all(0);
        for (int i = 0; i < LANES; i++) each[i] = LANES * r + i < n ? share / n / sum[i] : 0;
        for (int j = 0; j < TOKENS; j++) out[j][r] *= each;
    }
    if (!g) return loss / n;
    for (int t = 0; t < n; t++) ((double *)out[(int)targets[t]])[t] -= share / n;

    lane dx[WIDTH][MOST], dn[WIDTH][MOST] = {{{0}}}, dh[HIDDEN][MOST] = {{{0}}};
    memset(dx, 0, sizeof dx);
    positions(R, WIDTH, x3, xs);
    linear_back(R, n, TOKENS, WIDTH, p + HEAD, g + HEAD, xs, dx, out);
    positions(R, HIDDEN, h, xs);
    linear_back(R, n, WIDTH, HIDDEN, p + DOWN, g + DOWN, xs, dh, dx);
    for (int i = 0; i < HIDDEN; i++)
        for (int r = 0; r < R; r++) dh[i][r] = choose(up[i][r] > 0, dh[i][r], (lane){0});
    positions(R, WIDTH, n2, xs);
    linear_back(R, n, HIDDEN, WIDTH, p + UP, g + UP, xs, dn, dh);
    norm_back(R, x2, s2, dx, dn);

    lane seen[WIDTH][MOST] = {{{0}}}, dq[WIDTH][MOST], dk[WIDTH][MOST], dv[WIDTH][MOST];
    positions(R, WIDTH, o, xs);
    linear_back(R, n, WIDTH, WIDTH, p + OUTPUT, g + OUTPUT, xs, seen, dx);
    memset(dq, 0, sizeof dq), memset(dk, 0, sizeof dk), memset(dv, 0, sizeof dv);
    for (int head = 0; head < HEADS; head++) {
        lane(*s)[MOST] = shares[head], ds[BLOCK][MOST], mean[MOST] = {{0}};
        int first = head * SIZE;
        for (int u = 0; u < n; u++)
            for (int r = 0; r < R; r++) {
                lane dot = {0};
                for (int d = first; d < first + SIZE; d++) dot += seen[d][r] * ((double *)v[d])[u];
                ds[u][r] = dot;
                mean[r] += dot * s[u][r];
            }
        for (int u = 0; u < n; u++)
            for (int r = 0; r < R; r++) ds[u][r] = s[u][r] * (ds[u][r] - mean[r]) * 0.5;
        for (int u = 0; u < n; u++)
            for (int d = first; d < first + SIZE; d++) {
                lane by_key = {0}, by_value = {0};
                for (int r = 0; r < R; r++) {
                    dq[d][r] += ds[u][r] * ((double *)k[d])[u];
                    by_key += ds[u][r] * q[d][r];
                    by_value += s[u][r] * seen[d][r];
                }
                ((double *)dk[d])[u] = total(by_key);
                ((double *)dv[d])[u] = total(by_value);
            }
    }
    memset(dn, 0, sizeof dn);
    positions(R, WIDTH, n1, xs);
    linear_back(R, n, WIDTH, WIDTH, p + QUERY, g + QUERY, xs, dn, dq);
    linear_back(R, n, WIDTH, WIDTH, p + KEY, g + KEY, xs, dn, dk);
    linear_back(R, n, WIDTH, WIDTH, p + VALUE, g + VALUE, xs, dn, dv);
    norm_back(R, x1, s1, dx, dn);
    memset(dn, 0, sizeof dn);
    norm_back(R, x0, s0, dn, dx);
    for (int t = 0; t < n; t++)
        for (int i = 0; i < WIDTH; i++) {
            g[TOKEN + WIDTH * (int)tokens[t] + i] += ((double *)dn[i])[t];
            g[PLACE + WIDTH * t + i] += ((double *)dn[i])[t];
        }
    return loss / n;
}

static double text(const double *p, const double *x, const double *y, int n, double share, double *g)
{
    switch ((n + LANES - 1) / LANES) {
    case 1: return one(1, p, x, y, n, share, g);
    case 2: return one(2, p, x, y, n, share, g);
    case 3: return one(3, p, x, y, n, share, g);
    default: return one(MOST, p, x, y, n, share, g);
    }
}

/* The mean loss of `count` texts, and its gradient. A text is BLOCK numbers, of which its length counts. */
double gradient(const double *p, const double *x, const double *y, const double *lengths, long count, double *g)
{
    double loss = 0;
    memset(g, 0, PARAMETERS * sizeof *g);
    for (long i = 0; i < count; i++) loss += text(p, x + i * BLOCK, y + i * BLOCK, (int)lengths[i], 1.0 / count, g);
    return loss / count;
}

/* Steps of Adam, each on the next text; `state`: the two moments. Returns the last loss. */
double train(double *p, double *state, const double *x, const double *y, const double *lengths, long count, long steps,
             double rate)
{
    static double g[PARAMETERS];
    double loss = 0, power1 = 1, power2 = 1, *m = state, *v = state + PARAMETERS;
    for (long step = 0; step < steps; step++) {
        long i = step % count;
        memset(g, 0, sizeof g);
        loss = text(p, x + i * BLOCK, y + i * BLOCK, (int)lengths[i], 1, g);
        power1 *= 0.9, power2 *= 0.999;
        double by1 = 1 / (1 - power1), by2 = 1 / (1 - power2);
        for (int j = 0; j < PARAMETERS; j++) {
            m[j] = 0.9 * m[j] + 0.1 * g[j];
            v[j] = 0.999 * v[j] + 0.001 * g[j] * g[j];
            p[j] -= rate * (m[j] * by1) / (sqrt(v[j] * by2) + 1e-8);
        }
    }
    return loss;
}
