"""A GGUF file, dequantised once into a cached folder of safetensors."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tunesmith.errors import ModelError
from tunesmith.store.durable import new_folder, sweep


def converted(file: Path, cache: Path) -> tuple[Path, str]:
    """Return the folder with the dequantised model and its revision, `sha256:` and the hash of the GGUF file.

    The weights are saved in bfloat16, the precision that open models are published in. The folder is named by the
    file's hash, so a second call finds it. Raises ModelError when the file is not a GGUF model that transformers knows.
    """
    try:
        with file.open("rb") as source:
            if source.read(4) != b"GGUF":
                raise ModelError(f"'{file.name}' is not a GGUF file", where="model.source", fix="check the download")
            source.seek(0)
            digest = hashlib.file_digest(source, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(
            f"'{file.name}' cannot be read ({error.strerror})", where="model.source", fix="check its permissions"
        ) from error
    folder = cache / f"gguf-{digest[:16]}"
    if not folder.is_dir():
        with new_folder(folder) as unfinished:
            sweep(cache)
            _convert(file, unfinished)
    return folder, f"sha256:{digest}"


def _convert(file: Path, target: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from tunesmith.models.quiet import quiet_libraries

    with quiet_libraries(), _no_bar():
        try:
            tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
            model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
        except ImportError as error:
            raise ModelError(
                f"'{file.name}' needs a package that is not installed ({error})",
                where="model.source",
                fix='pip install "tunesmith[train]"',
            ) from error
        # The reader trips over a damaged file in many ways, and each of them means the same.
        except Exception as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
            raise ModelError(
                f"'{file.name}' cannot be converted ({reason})",
                where="model.source",
                fix="check the download, use the model's safetensors, or a GGUF that transformers reads",
            ) from error
        # The weights are plain numbers now: without these three, save_pretrained would write them as quantised.
        model.hf_quantizer = None
        model.is_quantized = False
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        model.config.name_or_path = file.stem
        model.to(torch.bfloat16).save_pretrained(target)
        tokenizer.save_pretrained(target)


@contextmanager
def _no_bar() -> Iterator[None]:
    """The conversion draws a bar of its own, which transformers' switch for bars does not reach."""
    from transformers import modeling_gguf_pytorch_utils as reader

    bar = reader.tqdm
    reader.tqdm = lambda tensors, **_: tensors
    try:
        yield
    finally:
        reader.tqdm = bar
