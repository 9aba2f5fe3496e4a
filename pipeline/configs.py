"""Derive config.json, the one description from which every stage and every loader rebuilds a model."""

from typing import Any

from isoform.metadata import Config, Network
from pipeline.datasets import Schema
from pipeline.params import SklearnModel, TorchModel


def describe(name: str, model: SklearnModel | TorchModel, schema: Schema) -> Config:
    """Return the config of model `name`; for a network, with the arguments of its class."""
    hyperparameters: dict[str, Any] = (
        model.hyperparameters.model_dump() if isinstance(model, TorchModel) else model.hyperparameters
    )
    return Config(
        model_name=name,
        task=schema.task,
        builder=model.builder,
        hyperparameters=hyperparameters,
        numeric=schema.numeric,
        categorical=schema.categorical,
        categories=schema.categories,
        classes=schema.classes,
        network=_network(model, schema) if isinstance(model, TorchModel) else None,
    )


def _network(model: TorchModel, schema: Schema) -> Network:
    from_data: dict[str, Any] = {
        "numeric": len(schema.numeric),
        "cardinalities": [len(schema.categories[name]) for name in schema.categorical],
    }
    if schema.task == "classification":
        from_data["classes"] = len(schema.classes)
    return Network(class_name=model.builder, arguments=from_data | model.hyperparameters.network)
