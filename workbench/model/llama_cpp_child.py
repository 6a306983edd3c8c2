"""What llama.cpp makes of a GGUF file, told as JSON: a process of its own, because a fault in C++ ends its process.

    stdin   {"file": PATH, "context": N, "text": TEXT, "prompts": [[ID, …], …], "plain_id": ID}
    stdout  {"ids": [ID, …], "log_probabilities": [{ID: FLOAT, …}, …]}     of the token that follows each prompt

llama.cpp is reached through the package xllamacpp, which answers on a port of 127.0.0.1 while this runs. Imports
neither torch nor anything of ours.
"""

from __future__ import annotations

import http.client
import json
import sys
from typing import Any

MOST_TOLD = 1000
"""Of the likeliest next tokens, so many: an answer of a large vocabulary would be megabytes."""


def main() -> None:
    """Load, cut, score, tell."""
    import xllamacpp

    wanted = json.load(sys.stdin)
    parameters = xllamacpp.CommonParams()
    parameters.model.path = wanted["file"]
    parameters.n_ctx, parameters.n_parallel = wanted["context"], 1
    parameters.warmup, parameters.verbosity = False, 0
    # What it has seen is kept in float32, so that the answer is that of the weights alone.
    parameters.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    parameters.cache_type_k = parameters.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    server = xllamacpp.Server(parameters)
    host = server.listening_address.removeprefix("http://")

    def ask(path: str, body: dict[str, Any]) -> dict[str, Any]:
        line = http.client.HTTPConnection(host, timeout=600)
        line.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer: dict[str, Any] = json.loads(line.getresponse().read())
        line.close()
        return answer

    ids = ask("/tokenize", {"content": wanted["text"], "add_special": False, "parse_special": False})
    scored = []
    for prompt in wanted["prompts"]:
        # Nothing is told of a token that is half a character; what is told is from before the bias.
        answer = ask(
            "/completion",
            {
                "prompt": prompt,
                "n_predict": 1,
                "n_probs": MOST_TOLD,
                "temperature": 0,
                "cache_prompt": False,
                "logit_bias": [[wanted["plain_id"], 1e4]],
            },
        )
        told = answer["completion_probabilities"][0]["top_logprobs"]
        scored.append({str(each["id"]): each["logprob"] for each in told})
    json.dump({"ids": ids["tokens"], "log_probabilities": scored}, sys.stdout)


if __name__ == "__main__":
    main()
