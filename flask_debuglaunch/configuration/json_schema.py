"""The JSON Schema of the YAML, generated from the declaration.

Draft-07 is what yaml-language-server (VS Code, Neovim, Eclipse) understands.
"""

from __future__ import annotations

import json
from typing import Any

from flask_debuglaunch.configuration.setting_types import Boolean
from flask_debuglaunch.configuration.settings import DECLARATIONS, YAML_BLOCK, Settings
from flask_debuglaunch.debuggers.known_debuggers import DEBUGGERS

JSON_SCHEMA_DRAFT = "http://json-schema.org/draft-07/schema#"
SCHEMA_NAME = "flask-debuglaunch.schema.json"


def yaml_schema() -> dict[str, Any]:
    """The schema as a plain dictionary. The app's own keys are allowed wherever they may stand."""
    return {
        "$schema": JSON_SCHEMA_DRAFT,
        "title": "flask-debuglaunch",
        "description": "How a Flask app is started for debugging.",
        "type": "object",
        "properties": {"FLASK": _schema_of_app_block(), YAML_BLOCK: _schema_of_launcher_block()},
    }


def schema_text() -> str:
    """The schema as the file that stands beside the YAML."""
    return json.dumps(yaml_schema(), indent=2) + "\n"


def _schema_of_app_block() -> dict[str, Any]:
    debug_with_flags = {
        flag: {
            **Boolean().schema(),
            "description": f"Debug with {debugger.name} ({', '.join(debugger.ides)}).",
        }
        for debugger in DEBUGGERS.values()
        for flag in debugger.flags
    }
    debug_mode = {**Boolean().schema(), "description": "Flask's debug mode.", "default": False}
    return {
        "description": "The app's own block.",
        "type": ["object", "null"],
        "properties": {"DEBUG": debug_mode, **debug_with_flags},
    }


def _schema_of_launcher_block() -> dict[str, Any]:
    return {
        "description": "The launcher's settings.",
        "type": ["object", "null"],
        "properties": {
            declaration.key: {
                **declaration.type.schema(),
                "description": declaration.description,
                **_default_in_schema(declaration.name),
            }
            for declaration in DECLARATIONS.values()
            if declaration.in_files
        },
        "additionalProperties": False,
    }


def _default_in_schema(name: str) -> dict[str, Any]:
    """The default as YAML has it; none where leaving the key out is the only way to say it."""
    default_value = getattr(Settings(), name).value
    default_text = DECLARATIONS[name].type.to_text(default_value)
    if isinstance(default_value, tuple):
        return {"default": json.loads(default_text)}
    if default_value is None:
        # "off" is YAML's false.
        return {"default": False if default_text == "off" else default_text} if default_text else {}
    return {"default": default_value}
