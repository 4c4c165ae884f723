import Host
import Testing

@Suite struct EscapedTextTests {
    @Test(arguments: [
        ("", ""),
        ("plain name.txt", "plain name.txt"),
        ("Grüße, 東京, 🌲", "Grüße, 東京, 🌲"),
        ("a\nb\tc\rd", "a\\nb\\tc\\rd"),
        ("\u{1b}[31mred\u{7}", "\\x1b[31mred\\x07"),
        ("back\\slash", "back\\\\slash"),
        ("\u{0}\u{7f}\u{9b}", "\\x00\\x7f\\u009b"),
        ("invoice\u{202e}fdp.exe", "invoice\\u202efdp.exe"),
        ("zero\u{200b}width\u{2060}\u{feff}", "zero\\u200bwidth\\u2060\\ufeff"),
        ("\u{2066}isolate\u{2069}\u{200f}", "\\u2066isolate\\u2069\\u200f"),
        ("line\u{2028}para\u{2029}", "line\\u2028para\\u2029"),
        ("soft\u{ad}hyphen", "soft\\u00adhyphen"),
        ("tag\u{e0041}", "tag\\U000e0041"),
        ("filler\u{3164}\u{115f}", "filler\\u3164\\u115f"),
        ("nbsp\u{a0}em\u{2003}", "nbsp\\u00a0em\\u2003"),
        ("private\u{e000}", "private\\ue000"),
    ])
    func `text from elsewhere cannot act on a terminal`(text: String, expected: String) {
        #expect(EscapedText.escaped(text) == expected)
    }

    @Test(
        arguments: [
            ([0xff, 0x41], "\\xffA"),
            ([0xc3], "\\xc3"),
            ([0xc0, 0x80], "\\xc0\\x80"),
            ([0xed, 0xa0, 0x80], "\\xed\\xa0\\x80"),
            ([0xf4, 0x90, 0x80, 0x80], "\\xf4\\x90\\x80\\x80"),
            ([0xe2, 0x82, 0xac], "€"),
        ] as [([UInt8], String)])
    func `bytes that are not UTF-8 are shown as numbers`(bytes: [UInt8], expected: String) {
        #expect(EscapedText.escaped(bytes.span) == expected)
    }

    @Test(arguments: [
        ("plain", "plain"), ("two words", "\"two words\""), ("", "\"\""),
        ("qu\"ote", "\"qu\\\"ote\""), ("a\n", "\"a\\n\""), ("it's", "\"it's\""),
    ])
    func `what could run into its surroundings is quoted`(text: String, expected: String) {
        #expect(EscapedText.quoted(text) == expected)
    }

    @Test func `JSON stays the same value and shows nothing dangerous`() throws {
        let value = ["name": "a\u{202e}b\u{1b}\u{200b}\u{e0041}é/\"\u{7f}"]
        let json = try JSONText.encode(value)
        let text = String(decoding: json, as: UTF8.self)
        #expect(text == #"{"name":"a\u202eb\u001b\u200b\udb40\udc41é/\"\u007f"}"#)
        #expect(try JSONText.decode([String: String].self, from: json) == value)
    }

    @Test func `JSON keys are sorted`() throws {
        let json = try JSONText.encode(["b": 1, "a": 2, "c": 3])
        #expect(String(decoding: json, as: UTF8.self) == #"{"a":2,"b":1,"c":3}"#)
    }
}
