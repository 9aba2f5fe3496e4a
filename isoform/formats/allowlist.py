"""What a pickle may name: exact pairs of module and name, reviewed here and nowhere else.

No part of it is read from a file, no prefix is matched. A global stands in the table of what may be done with it:

- CLASSES: an object is made without `__init__`, and its attributes are set; nothing of the class runs but `__setstate__`;
- CALLS: called, with arguments that checks.py has approved;
- VALUES: only ever handed on, never called by the unpickler.

Here stands what benchmarks/compatibility.py publishes, and nothing besides: what no converter knows is never published.

To add a class of yours: read its `__setstate__`, if it has one, and all that `predict` and `predict_proba` reach. It belongs
here when no attribute, whatever its value, makes that run code of another's choice (an attribute that is called, a name that is
imported, `eval`), read or write a file, or index memory in compiled code. If it does the last, add a check of its state first.
An attribute of it that holds other objects goes into PLACES of attributes.py, with the class of what it holds, and one that holds
arrays into DIMENSIONS.
"""

Table = dict[str, tuple[str, ...]]

CLASSES: Table = {
    # Containers of estimators, and what surrounds them. A step is called by the methods of its class alone.
    "sklearn.pipeline": ("Pipeline",),
    "sklearn.compose._column_transformer": ("ColumnTransformer",),
    "sklearn.utils._bunch": ("Bunch",),
    "sklearn.utils._metadata_requests": ("MetadataRequest", "MethodMetadataRequest"),
    # Stands for an array in joblib's files, where joblib.py checks its attributes; in pickle's for nothing.
    "joblib.numpy_pickle": ("NumpyArrayWrapper",),
    # Preprocessing: NumPy, and SciPy's sparse matrices for one-hot codes (native.py checks their columns).
    "sklearn.impute._base": ("SimpleImputer",),
    "sklearn.preprocessing._data": ("MinMaxScaler", "StandardScaler"),
    "sklearn.preprocessing._encoders": ("OneHotEncoder", "OrdinalEncoder"),
    "sklearn.preprocessing._label": ("LabelBinarizer", "LabelEncoder"),
    "sklearn.preprocessing._polynomial": ("PolynomialFeatures",),
    "sklearn.decomposition._pca": ("PCA",),
    # Matrix products and what NumPy does to their results.
    "sklearn.cross_decomposition._pls": ("PLSRegression",),
    "sklearn.discriminant_analysis": ("LinearDiscriminantAnalysis", "QuadraticDiscriminantAnalysis"),
    "sklearn.linear_model._base": ("LinearRegression",),
    "sklearn.linear_model._bayes": ("ARDRegression", "BayesianRidge"),
    "sklearn.linear_model._coordinate_descent": ("ElasticNet", "ElasticNetCV", "Lasso", "LassoCV"),
    "sklearn.linear_model._glm.glm": ("GammaRegressor", "PoissonRegressor", "TweedieRegressor"),
    "sklearn.linear_model._huber": ("HuberRegressor",),
    "sklearn.linear_model._least_angle": ("Lars", "LarsCV", "LassoLars", "LassoLarsCV", "LassoLarsIC"),
    "sklearn.linear_model._logistic": ("LogisticRegression", "LogisticRegressionCV"),
    "sklearn.linear_model._omp": ("OrthogonalMatchingPursuit", "OrthogonalMatchingPursuitCV"),
    "sklearn.linear_model._passive_aggressive": ("PassiveAggressiveRegressor",),
    "sklearn.linear_model._quantile": ("QuantileRegressor",),
    "sklearn.linear_model._ransac": ("RANSACRegressor",),
    "sklearn.linear_model._ridge": ("Ridge", "RidgeCV", "RidgeClassifier", "RidgeClassifierCV"),
    "sklearn.linear_model._stochastic_gradient": ("SGDClassifier", "SGDRegressor"),
    "sklearn.linear_model._theil_sen": ("TheilSenRegressor",),
    "sklearn.naive_bayes": ("BernoulliNB", "GaussianNB", "MultinomialNB"),
    "sklearn.svm._classes": ("LinearSVC", "LinearSVR", "NuSVC", "NuSVR", "SVC", "SVR"),  # libsvm: see native.py
    "sklearn.neural_network._multilayer_perceptron": ("MLPClassifier", "MLPRegressor"),
    "sklearn.neural_network._stochastic_optimizers": ("AdamOptimizer", "SGDOptimizer"),
    "sklearn.gaussian_process._gpr": ("GaussianProcessRegressor",),
    "sklearn.gaussian_process.kernels": ("ConstantKernel", "Product", "RBF", "Sum", "WhiteKernel"),
    # Compiled code that walks nodes and indices of the file: native.py checks every one of these.
    "sklearn.tree._classes": (
        "DecisionTreeClassifier", "DecisionTreeRegressor", "ExtraTreeClassifier", "ExtraTreeRegressor",
    ),
    "sklearn.ensemble._forest": (
        "ExtraTreesClassifier", "ExtraTreesRegressor", "RandomForestClassifier", "RandomForestRegressor",
    ),
    "sklearn.ensemble._gb": ("GradientBoostingClassifier", "GradientBoostingRegressor"),
    "sklearn.ensemble._hist_gradient_boosting.binning": ("_BinMapper",),
    "sklearn.ensemble._hist_gradient_boosting.gradient_boosting": (
        "HistGradientBoostingClassifier", "HistGradientBoostingRegressor",
    ),
    "sklearn.ensemble._hist_gradient_boosting.predictor": ("TreePredictor",),
    "sklearn.neighbors._classification": ("KNeighborsClassifier", "RadiusNeighborsClassifier"),
    "sklearn.neighbors._regression": ("KNeighborsRegressor", "RadiusNeighborsRegressor"),
    # Estimators around estimators: Python that adds up or picks their answers.
    "sklearn.calibration": ("CalibratedClassifierCV", "_CalibratedClassifier", "_SigmoidCalibration"),
    "sklearn.dummy": ("DummyClassifier", "DummyRegressor"),  # where gradient boosting begins
    "sklearn.ensemble._bagging": ("BaggingClassifier", "BaggingRegressor"),
    "sklearn.ensemble._stacking": ("StackingClassifier", "StackingRegressor"),
    "sklearn.ensemble._voting": ("VotingClassifier", "VotingRegressor"),
    "sklearn.ensemble._weight_boosting": ("AdaBoostClassifier", "AdaBoostRegressor"),
    "sklearn.isotonic": ("IsotonicRegression",),  # __setstate__ interpolates between two arrays: see native.py
    "sklearn.metrics._scorer": ("_CurveScorer", "_Scorer"),
    "sklearn.model_selection._classification_threshold": ("TunedThresholdClassifierCV",),
    "sklearn.multiclass": ("OneVsRestClassifier",),
    # Losses of boosted trees and their links: attributes and NumPy.
    "sklearn._loss.link": ("HalfLogitLink", "IdentityLink", "Interval", "LogLink", "LogitLink", "MultinomialLogit"),
    "sklearn._loss.loss": (
        "AbsoluteError", "ExponentialLoss", "HalfBinomialLoss", "HalfGammaLoss", "HalfMultinomialLoss", "HalfPoissonLoss",
        "HalfSquaredError", "HalfTweedieLoss", "HalfTweedieLossIdentity", "HuberLoss", "PinballLoss",
    ),
}  # fmt: skip

CALLS: Table = {
    "builtins": ("slice",),
    # Arrays and numbers: of the dtypes and with as many bytes as arrays.py says.
    "numpy": ("dtype",),
    "numpy._core.multiarray": ("_reconstruct", "scalar"),
    "numpy._core.numeric": ("_frombuffer",),
    # Random states that training leaves behind; no answer draws from them.
    "numpy.random._pickle": ("__bit_generator_ctor", "__generator_ctor", "__randomstate_ctor"),
    "numpy.random.bit_generator": ("__pyx_unpickle_SeedSequence",),
    # Compiled losses, which hold a number or none.
    "sklearn._loss._loss": (
        "CyAbsoluteError", "CyExponentialLoss", "CyHalfBinomialLoss", "CyHalfGammaLoss", "CyHalfPoissonLoss",
        "CyHalfSquaredError", "CyHalfTweedieLoss", "CyHalfTweedieLossIdentity", "CyHuberLoss", "CyPinballLoss",
        "__pyx_unpickle_CyHalfMultinomialLoss",
    ),
    # Compiled trees: made empty; native.py checks what they are filled with.
    "sklearn.tree._tree": ("Tree",),
    "sklearn.neighbors._kd_tree": ("newObj",),
    "sklearn.metrics._dist_metrics": ("newObj",),
}  # fmt: skip

VALUES: Table = {
    # Types: of an encoder's output, or arguments of what is in CALLS.
    "numpy": ("float32", "float64", "ndarray"),
    "numpy.random._mt19937": ("MT19937",),
    "numpy.random._pcg64": ("PCG64",),
    "numpy.random.bit_generator": ("SeedSequence",),
    "sklearn._loss._loss": ("CyHalfMultinomialLoss",),
    "sklearn.neighbors._kd_tree": ("KDTree",),
    "sklearn.metrics._dist_metrics": ("EuclideanDistance64", "ManhattanDistance64"),
    # What a threshold was tuned by.
    "sklearn.metrics._classification": ("balanced_accuracy_score",),
}
