"""NIST's nonlinear regression problems: our residuals and Jacobians give the certified statistics to nine digits.

Data, models and certified values are those of the Statistical Reference Datasets of the United States' National
Institute of Standards and Technology (public domain): https://www.itl.nist.gov/div898/strd/nls/nls_main.shtml.
At the certified parameters the residual sum of squares is RSS = Σ (y - f(x))², and the standard deviation of the i-th
parameter is √(RSS / (n - p) · [(JᵀJ)⁻¹]ᵢᵢ), where J holds the derivatives of f by the parameters.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import mpmath
import pytest

from micrograd_like import Value, exp


@dataclass(frozen=True)
class Problem:
    name: str
    model: Callable[..., Any]  # of x and the parameters
    x: Sequence[float]
    y: Sequence[float]
    parameters: Sequence[float]
    deviations: Sequence[float]
    rss: float


# fmt: off
MISRA_X = [77.6, 114.9, 141.1, 190.8, 239.9, 289.0, 332.8, 378.4, 434.8, 477.3, 536.8, 593.1, 689.1, 760.0]
MISRA_Y = [10.07, 14.73, 17.94, 23.93, 29.61, 35.18, 40.02, 44.82, 50.76, 55.05, 61.01, 66.40, 75.47, 81.78]

PROBLEMS = [
    Problem("Misra1a", lambda x, b1, b2: b1 * (1 - exp(-b2 * x)), MISRA_X, MISRA_Y,
            [2.3894212918e02, 5.5015643181e-04], [2.7070075241e00, 7.2668688436e-06], 1.2455138894e-01),
    Problem("Misra1b", lambda x, b1, b2: b1 * (1 - (1 + b2 * x / 2) ** -2), MISRA_X, MISRA_Y,
            [3.3799746163e02, 3.9039091287e-04], [3.1643950207e00, 4.2547321834e-06], 7.5464681533e-02),
    Problem("Misra1c", lambda x, b1, b2: b1 * (1 - (1 + 2 * b2 * x) ** -0.5), MISRA_X, MISRA_Y,
            [6.3642725809e02, 2.0813627256e-04], [4.6638326572e00, 1.7728423155e-06], 4.0966836971e-02),
    Problem("Misra1d", lambda x, b1, b2: b1 * b2 * x * (1 + b2 * x) ** -1, MISRA_X, MISRA_Y,
            [4.3736970754e02, 3.0227324449e-04], [3.6489174345e00, 2.9334354479e-06], 5.6419295283e-02),
    Problem("BoxBOD", lambda x, b1, b2: b1 * (1 - exp(-b2 * x)), [1, 2, 3, 5, 7, 10], [109, 149, 149, 191, 213, 224],
            [2.1380940889e02, 5.4723748542e-01], [1.2354515176e01, 1.0455993237e-01], 1.1680088766e03),
    Problem("DanWood", lambda x, b1, b2: b1 * x**b2,
            [1.309, 1.471, 1.490, 1.565, 1.611, 1.680], [2.138, 3.421, 3.597, 4.340, 4.882, 5.660],
            [7.6886226176e-01, 3.8604055871e00], [1.8281973860e-02, 5.1726610913e-02], 4.3173084083e-03),
    Problem("Rat42", lambda x, b1, b2, b3: b1 / (1 + exp(b2 - b3 * x)),
            [9, 14, 21, 28, 42, 57, 63, 70, 79], [8.930, 10.800, 18.590, 22.330, 39.350, 56.110, 61.730, 64.620, 67.080],
            [7.2462237576e01, 2.6180768402e00, 6.7359200066e-02],
            [1.7340283401e00, 8.8295217536e-02, 3.4465663377e-03], 8.0565229338e00),
    Problem("Rat43", lambda x, b1, b2, b3, b4: b1 / (1 + exp(b2 - b3 * x)) ** (1 / b4), range(1, 16),
            [16.08, 33.83, 65.80, 97.20, 191.55, 326.20, 386.87, 520.53, 590.03, 651.92, 724.93, 699.56, 689.96,
             637.56, 717.41],
            [6.9964151270e02, 5.2771253025e00, 7.5962938329e-01, 1.2792483859e00],
            [1.6302297817e01, 2.0828735829e00, 1.9566123451e-01, 6.8761936385e-01], 8.7864049080e03),
    Problem("MGH09", lambda x, b1, b2, b3, b4: b1 * (x**2 + x * b2) / (x**2 + x * b3 + b4),
            [4.0, 2.0, 1.0, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625],
            [0.1957, 0.1947, 0.1735, 0.16, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246],
            [1.9280693458e-01, 1.9128232873e-01, 1.2305650693e-01, 1.3606233068e-01],
            [1.1435312227e-02, 1.9633220911e-01, 8.0842031232e-02, 9.0025542308e-02], 3.0750560385e-04),
    Problem("MGH10", lambda x, b1, b2, b3: b1 * exp(b2 / (x + b3)), range(50, 130, 5),
            [34780, 28610, 23650, 19630, 16370, 13720, 11540, 9744, 8261, 7030, 6005, 5147, 4427, 3820, 3307, 2872],
            [5.6096364710e-03, 6.1813463463e03, 3.4522363462e02],
            [1.5687892471e-04, 2.3309021107e01, 7.8486103508e-01], 8.7945855171e01),
    Problem("MGH17", lambda x, b1, b2, b3, b4, b5: b1 + b2 * exp(-x * b4) + b3 * exp(-x * b5), range(0, 330, 10),
            [0.844, 0.908, 0.932, 0.936, 0.925, 0.908, 0.881, 0.850, 0.818, 0.784, 0.751, 0.718, 0.685, 0.658, 0.628,
             0.603, 0.580, 0.558, 0.538, 0.522, 0.506, 0.490, 0.478, 0.467, 0.457, 0.448, 0.438, 0.431, 0.424, 0.420,
             0.414, 0.411, 0.406],
            [3.7541005211e-01, 1.9358469127e00, -1.4646871366e00, 1.2867534640e-02, 2.2122699662e-02],
            [2.0723153551e-03, 2.2031669222e-01, 2.2175707739e-01, 4.4861358114e-04, 8.9471996575e-04],
            5.4648946975e-05),
    Problem("Eckerle4", lambda x, b1, b2, b3: (b1 / b2) * exp(-0.5 * ((x - b3) / b2) ** 2),
            [400, 405, 410, 415, 420, 425, 430, 435, 436.5, 438, 439.5, 441, 442.5, 444, 445.5, 447, 448.5, 450, 451.5,
             453, 454.5, 456, 457.5, 459, 460.5, 462, 463.5, 465, 470, 475, 480, 485, 490, 495, 500],
            [0.0001575, 0.0001699, 0.0002350, 0.0003102, 0.0004917, 0.0008710, 0.0017418, 0.0046400, 0.0065895,
             0.0097302, 0.0149002, 0.0237310, 0.0401683, 0.0712559, 0.1264458, 0.2073413, 0.2902366, 0.3445623,
             0.3698049, 0.3668534, 0.3106727, 0.2078154, 0.1164354, 0.0616764, 0.0337200, 0.0194023, 0.0117831,
             0.0074357, 0.0022732, 0.0008800, 0.0004579, 0.0002345, 0.0001586, 0.0001143, 0.0000710],
            [1.5543827178e00, 4.0888321754e00, 4.5154121844e02],
            [1.5408051163e-02, 4.6803020753e-02, 4.6800518816e-02], 1.4635887487e-03),
    Problem("Thurber", lambda x, b1, b2, b3, b4, b5, b6, b7:
            (b1 + b2 * x + b3 * x**2 + b4 * x**3) / (1 + b5 * x + b6 * x**2 + b7 * x**3),
            [-3.067, -2.981, -2.921, -2.912, -2.840, -2.797, -2.702, -2.699, -2.633, -2.481, -2.363, -2.322, -1.501,
             -1.460, -1.274, -1.212, -1.100, -1.046, -0.915, -0.714, -0.566, -0.545, -0.400, -0.309, -0.109, -0.103,
             0.010, 0.119, 0.377, 0.790, 0.963, 1.006, 1.115, 1.572, 1.841, 2.047, 2.200],
            [80.574, 84.248, 87.264, 87.195, 89.076, 89.608, 89.868, 90.101, 92.405, 95.854, 100.696, 101.060, 401.672,
             390.724, 567.534, 635.316, 733.054, 759.087, 894.206, 990.785, 1090.109, 1080.914, 1122.643, 1178.351,
             1260.531, 1273.514, 1288.339, 1327.543, 1353.863, 1414.509, 1425.208, 1421.384, 1442.962, 1464.350,
             1468.705, 1447.894, 1457.628],
            [1.2881396800e03, 1.4910792535e03, 5.8323836877e02, 7.5416644291e01, 9.6629502864e-01, 3.9797285797e-01,
             4.9727297349e-02],
            [4.6647963344e00, 3.9571156086e01, 2.8698696102e01, 5.5675370270e00, 3.1333340687e-02, 1.4984928198e-02,
             6.5842344623e-03], 5.6427082397e03),
]
# fmt: on


def correct_digits(got: Any, certified: float) -> float:
    """The log relative error, NIST's measure: how many leading digits agree."""
    return 15.0 if got == certified else float(-mpmath.log10(abs(got - certified) / abs(certified)))


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda p: p.name)
def test_certified_statistics_are_met_to_nine_digits(problem: Problem) -> None:
    residuals, jacobian = [], []
    for x, y in zip(problem.x, problem.y, strict=True):
        parameters = [Value(b) for b in problem.parameters]
        residual = y - problem.model(x, *parameters)
        residual.backward()
        residuals.append(residual.data)
        jacobian.append([b.grad for b in parameters])
    with mpmath.workdps(50):
        rss = mpmath.fsum(r * r for r in map(mpmath.mpf, residuals))
        assert correct_digits(rss, problem.rss) >= 9
        j = mpmath.matrix(jacobian)
        covariance = rss / (len(residuals) - len(problem.parameters)) * (j.T * j) ** -1
        for i, certified in enumerate(problem.deviations):
            assert correct_digits(mpmath.sqrt(covariance[i, i]), certified) >= 9, i


def test_at_the_certified_parameters_the_gradient_of_the_squares_vanishes() -> None:
    for problem in PROBLEMS:
        parameters = [Value(b) for b in problem.parameters]
        rss = sum((y - problem.model(x, *parameters)) ** 2 for x, y in zip(problem.x, problem.y, strict=True))
        rss.backward()
        # One standard deviation away RSS is about RSS / (n - p) larger: that is what makes a gradient small.
        scale = problem.rss / (len(problem.x) - len(parameters))
        for b, deviation in zip(parameters, problem.deviations, strict=True):
            assert abs(b.grad * deviation) < 0.05 * scale, problem.name
