"""The operators that a model.onnx may have, each looked at for what it could be made to do.

The lists hold what the estimators of docs/compatibility.md and networks are exported to: none opens a file, calls out, draws
at random or loops but for `Scan`, over the rows it is given. A network that needs another is refused when it is exported. Read
in onnx's documentation what the operator does, then add it.
"""

HERE = "isoform/formats/onnx_operators.py"
OPSETS = {"": range(18, 23), "ai.onnx.ml": range(1, 4)}
"""Domain → its versions."""
_ELEMENTWISE = """
    Abs Add Clip Div Elu Erf Exp Gelu HardSigmoid HardSwish Identity LeakyRelu Log Max Min Mish Mul Neg PRelu Pow Reciprocal Relu
    Selu Sigmoid Softplus Softsign Sqrt Sub Sum Tanh"""
ELEMENTWISE = frozenset(_ELEMENTWISE.split())
_ALONG_AN_AXIS = """
    BatchNormalization CumSum LayerNormalization LogSoftmax LpNormalization ReduceL1 ReduceL2 ReduceLogSumExp ReduceMax
    ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Softmax"""
_PRODUCTS = " Gemm MatMul"
_SHAPES = " Concat Expand Flatten Gather GatherElements Reshape Slice Split Squeeze Tile Transpose Unsqueeze"
SAME_TYPE = ELEMENTWISE | frozenset((_ALONG_AN_AXIS + _PRODUCTS + _SHAPES).split())
"""Of ai.onnx, those whose outputs are all of the type of their first input."""
_TO_TRUTH = " And Equal Greater GreaterOrEqual IsInf IsNaN Less LessOrEqual Not Or Xor"
_TO_OTHER_TYPES = " ArgMax ArgMin Cast Constant ConstantOfShape Shape TopK Where"
_ROWS_AGAINST_ROWS = " Scan"  # nearest neighbours, Gaussian processes
OPERATORS = SAME_TYPE | frozenset((_TO_TRUTH + _TO_OTHER_TYPES + _ROWS_AGAINST_ROWS).split())
"""Of ai.onnx."""
_TREES = (
    "base_values nodes_falsenodeids nodes_featureids nodes_hitrates nodes_missing_value_tracks_true nodes_modes nodes_nodeids "
    "nodes_treeids nodes_truenodeids nodes_values post_transform "
)
ML_OPERATORS = {
    name: frozenset(attributes.split())
    for name, attributes in {
        "ArrayFeatureExtractor": "",
        "Imputer": "imputed_value_floats replaced_value_float",
        "LabelEncoder": (
            "keys_floats keys_int64s keys_strings values_floats values_int64s values_strings "
            "default_float default_int64 default_string"
        ),
        "LinearClassifier": "classlabels_ints classlabels_strings coefficients intercepts multi_class post_transform",
        "LinearRegressor": "coefficients intercepts post_transform",
        "Normalizer": "norm",
        "OneHotEncoder": "cats_int64s cats_strings zeros",
        "SVMRegressor": "coefficients kernel_params kernel_type n_supports one_class post_transform rho support_vectors",
        "Scaler": "offset scale",
        "TreeEnsembleClassifier": (
            _TREES + "class_ids class_nodeids class_treeids class_weights classlabels_int64s classlabels_strings"
        ),
        "TreeEnsembleRegressor": (
            _TREES + "aggregate_function n_targets target_ids target_nodeids target_treeids target_weights"
        ),
    }.items()
}
"""Operator of ai.onnx.ml → its attributes: with these an operator is given its model, so they are listed, too."""
