"""Typed settings of one environment: environments/<name>.yaml."""

from infra.settings.classification import ClassificationSettings
from infra.settings.environment import EnvironmentSettings
from infra.settings.monitoring import MonitoringSettings
from infra.settings.serving import ServingSettings

__all__ = ["ClassificationSettings", "EnvironmentSettings", "MonitoringSettings", "ServingSettings"]
