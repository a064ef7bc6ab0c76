"""Texts on which tokenizers tend to disagree."""

from __future__ import annotations

ODD_TEXTS = (
    "", " ", "  ", "   ", "\n", "\n\n", "\n\n\n\n", "\t", "\t\t", " \n", "\n ", " \n \n  \n\t \n", "\r\n", "a\r\nb\r\n", "\x00", "\x7f\x1b",
    "a", " a", "a ", " a ", "  a  b   c    d", "Hello, world!", "hello HELLO Hello hElLo", "I'm we'll they've IT'S DON'T 'Re",
    "0", "7", "12", "123", "1234", "1234567890", "3.14159", "1,000,000.00", "007 42nd x2 2x", "٣٤٥ ४५६ Ⅷ ½ ²",
    "don't stop -- believing...", "!!!???...,,,;;;", "--------", "========", "(a[b{c}d]e)", "\"quoted\" 'single' `back`",
    "https://example.org/a/b?c=d&e=%20f#g", "user.name+tag@example.co.uk", "C:\\Users\\name\\file.txt", "/var/log/*.gz | grep -v '^#'",
    "def f(x):\n    return x ** 2  # square\n\n\nclass A:\n\tpass\n", '{"a": [1, 2.5, null, true], "b": {"c": "d\\n"}}',
    "<html><body>text</body></html>", "SELECT * FROM t WHERE a='b';", "x=1;y=2;;z==3", "αβγ ΑΒΓ привет ПРИВЕТ", "naïve café Ünïcödé ß ǅ",
    "e\u0301 n\u0303 a\u030a\u0323", "ｆｕｌｌ　ｗｉｄｔｈ", "你好，世界。我想在apple工作1314151天～", "こんにちは カタカナ 漢字", "안녕하세요 세계", "שלום עולם", "مرحبا بالعالم",
    "नमस्ते दुनिया", "สวัสดีชาวโลก", "🙂", "🙂🙂 🚀", "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽", "🇩🇪🇫🇷", "\u200b\u200d\ufeff", "\u00a0\u2003\u3000", "a\u00adb", "\U0001f999\U00020000",
    "<|im_start|>user\nhi<|im_end|>", "<s>a</s> <unk>", "<|begin_of_text|><|eot_id|>", "<start_of_turn>user<end_of_turn><eos><bos>",
    "<|end|><|assistant|><|endoftext|>", "[INST] a [/INST]", "<0x41><0x0A>", "▁a ▁▁ b▁", "Ġa Ċ", "<think>\n</think>",
    "Donaudampfschifffahrtsgesellschaftskapitän" * 8, "a" * 1000, " " * 100 + "x", "\n" * 40, "ab" * 333 + " " + "ba" * 333,
)  # fmt: skip
