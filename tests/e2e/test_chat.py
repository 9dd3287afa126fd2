"""Chat templates where users meet them: `trireme render-template`, the files that hold templates, and that nothing in a
message becomes a special token."""

import json
import shutil

import gguf
import jinja2
import pytest


from harness import SMOLLM2, refused, trireme

MESSAGES = [
    {"role": "system", "content": "You are terse."},
    {"role": "user", "content": "Zażółć gęślą jaźń?"},
    {"role": "assistant", "content": "Ja."},
    {"role": "user", "content": "{{ 1 + 1 }} {% raw %}"},
]
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] | trim }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% if thinking %}<think>{% endif %}{% endif %}"
)


def render(*args, inputs=MESSAGES, **kwargs):
    return trireme("render-template", *args, stdin=json.dumps(inputs), **kwargs).out


def rendered(*args, inputs=MESSAGES):
    return json.loads(render(*args, "--json", inputs=inputs))


def oracle(source, **variables):
    env = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    return env.from_string(source).render(tools=None, documents=None, **variables)


def special_tokens(path):
    fields = gguf.GGUFReader(path).fields
    tokens, types = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    return {
        id_: bytes(tokens.parts[tokens.data[id_]]).decode()
        for id_ in range(len(types.data))
        if types.parts[types.data[id_]][0] == gguf.TokenType.CONTROL
    }


@pytest.fixture(scope="module")
def specials():
    found = special_tokens(SMOLLM2)
    assert len(found) > 3 and "<|im_end|>" in found.values()
    return found


@pytest.fixture
def model(scratch):
    """A model directory with files of its own; the tokenizer is SmolLM2's."""
    shutil.copy(SMOLLM2, scratch / "tokenizer.gguf")
    return scratch


def test_the_models_own_template():
    source = trireme("render-template", SMOLLM2, "--source").out
    for generate in False, True:
        flags = ["--add_generation_prompt"] if generate else []
        expected = oracle(source, messages=MESSAGES, add_generation_prompt=generate)
        assert render(SMOLLM2, *flags) == expected
        inputs = {"messages": MESSAGES, "add_generation_prompt": generate}
        assert render(SMOLLM2, inputs=inputs) == expected


def test_variables_and_tokens(model):
    (model / "chat_template.jinja").write_text(TEMPLATE)
    (model / "tokenizer_config.json").write_text(json.dumps({"bos_token": {"content": "<|im_start|>"}}))
    expected = oracle(TEMPLATE, messages=MESSAGES, bos_token="<|im_start|>", add_generation_prompt=True, thinking=True)
    assert render(model, "--add_generation_prompt", "--set", "thinking=true") == expected
    without = oracle(TEMPLATE, messages=MESSAGES, bos_token="<|im_start|>", add_generation_prompt=True)
    assert render(model, "--add_generation_prompt", "--set", "thinking=false") == without
    assert "THINKING" not in without


@pytest.mark.parametrize("place", ["chat_template.jinja", "chat_template.json", "tokenizer_config.json", "a file"])
def test_where_templates_are(model, place):
    if place in ("chat_template.jinja", "a file"):
        path = model / ("my.jinja" if place == "a file" else place)
        path.write_text(TEMPLATE)
    else:
        (model / place).write_text(json.dumps({"chat_template": TEMPLATE}))
    at = path if place == "a file" else model
    assert trireme("render-template", at, "--source").out == TEMPLATE


def test_a_nul_byte_is_a_character(model):
    """As in jinja2: a template goes on after it."""
    source = "a\0b{{ messages[0].content }}\0"
    (model / "chat_template.jinja").write_text(source)
    assert trireme("render-template", model, "--source").out == source
    assert render(model) == oracle(source, messages=MESSAGES)


def test_several_templates(model):
    templates = [{"name": n, "template": f"{n}:{{{{ messages[0].content }}}}"} for n in ("default", "tool_use", "rag")]
    (model / "tokenizer_config.json").write_text(json.dumps({"chat_template": templates}))
    tools = model / "tools.json"
    tools.write_text(json.dumps([{"type": "function", "function": {"name": "f"}}]))
    (model / "additional_chat_templates").mkdir()
    (model / "additional_chat_templates" / "more.jinja").write_text("more")
    assert render(model) == "default:You are terse."
    assert render(model, "--tools", tools) == "tool_use:You are terse."
    assert render(model, "--tools", tools, "--name", "default") == "default:You are terse."
    assert render(model, "--name", "rag") == "rag:You are terse."
    assert render(model, "--name", "more") == "more"
    message = refused("render-template", model, "--name", "nosuch", stdin="[]")
    assert "nosuch" in message and "tool_use" in message


def test_what_came_from_the_input(model):
    (model / "chat_template.jinja").write_text(TEMPLATE)
    (model / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<|im_start|>"}))
    content = "  x <|im_end|> y  "
    out = rendered(model, "--add_generation_prompt", inputs=[{"role": "user", "content": content}])
    plain = b"".join(out["text"].encode()[a:b] for a, b in out["plain"])
    assert plain == b"user" + content.strip().encode()


def fields_with(text):
    """Conversations of one shape: `text` in one field after the other."""
    call = {"type": "function", "function": {"name": text, "arguments": {"a": text, text: 1}}}
    yield {"messages": [{"role": "user", "content": text}]}
    yield {"messages": [{"role": text, "content": "Hi"}]}
    yield {"messages": [{"role": "user", "content": [{"type": "text", "text": text}]}]}
    yield {"messages": [{"role": "user", "content": "Hi", "name": text}]}
    yield {"messages": [{"role": "assistant", "content": "", "tool_calls": [call]}]}
    yield {"messages": [{"role": "assistant", "content": "", "reasoning_content": text}]}
    yield {"messages": [{"role": "tool", "content": text, "tool_call_id": text}]}
    yield {"messages": [{"role": "user", "content": "Hi"}], "tools": [{"type": "function", "function": {"name": text}}]}
    yield {"messages": [{"role": "user", "content": "Hi"}], "documents": [{"title": text, "text": text}]}
    yield {"messages": [{"role": "user", "content": "Hi"}], "anything": text}


EVERYTHING = """{%- for m in messages -%}
<|im_start|>{{ m.role }}{% if m.name %} {{ m.name }}{% endif %}
{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}{{ p.text }}{% endfor %}{% endif %}
{{ m.reasoning_content or '' }}{{ m.tool_calls | tojson if m.tool_calls }}{{ m.tool_call_id or '' }}
{%- for c in m.tool_calls or [] %}{% for k, v in c.function.arguments.items() %}{{ k ~ '=' ~ v }};{% endfor %}{% endfor -%}
<|im_end|>
{% endfor %}{% if tools %}{{ tools | tojson(indent=2) }}{% endif %}
{%- for d in documents or [] %}{{ d.title.upper().lower() + ' ' + d.text[0:] }}{% endfor %}
{%- set parts = (anything or '').split('|') %}{{ parts | join('|') }}{{ (anything or '') | replace('x', 'y') }}<|im_start|>assistant
"""


def test_no_field_becomes_a_special_token(model, specials):
    """Every special token of the vocabulary in every field: the special ids are those of the same conversation with a
    harmless word there, and the pieces of the token's text are there as ordinary tokens."""
    (model / "chat_template.jinja").write_text(EVERYTHING)

    def ids_of(inputs):
        return rendered(model, "--ids", inputs=inputs)["ids"]

    for harmless in fields_with("word"):
        expected = [i for i in ids_of(harmless) if i in specials]
        assert len(expected) >= 3
        for text in specials.values():
            hostile = json.loads(json.dumps(harmless).replace("word", text))
            ids = ids_of(hostile)
            assert [i for i in ids if i in specials] == expected, (text, hostile)


def test_errors(model):
    (model / "chat_template.jinja").write_text("{% for m in messages %}\n  {{ m.content | nosuchfilter }}\n{% endfor %}")
    message = refused("render-template", model, stdin="[]")
    assert "line 2" in message and "nosuchfilter" in message
    (model / "chat_template.jinja").write_text("{{ raise_exception('roles must alternate') }}")
    assert "roles must alternate" in refused("render-template", model, stdin="[]")
    assert "line 1" in refused("render-template", model, stdin="[{]") 
    assert "messages" in refused("render-template", model, stdin="{}")
    for value in "True", "None", "{'a': 1}":
        assert "no JSON" in refused("render-template", model, "--set", f"x={value}", stdin="[]")
    tools = model / "tools.json"
    for value, word in ({"type": "function"}, "array of objects"), ("f", "array of objects"), ([{}, "f"], "[1] is a text"):
        tools.write_text(json.dumps(value))
        assert word in refused("render-template", model, "--tools", tools, stdin="[]")
        assert word in refused("render-template", model, stdin=json.dumps({"messages": [], "tools": value}))
    assert "KEY=VALUE" in refused("render-template", model, "--set", "nothing", stdin="[]")


def test_a_model_without_a_template(scratch):
    (scratch / "tokenizer_config.json").write_text('{"chat_template": 3}')
    assert "neither text nor a list" in refused("render-template", scratch, stdin="[]")
    (scratch / "tokenizer_config.json").write_text("{}")
    assert "chat_template.jinja" in refused("render-template", scratch, stdin="[]")


