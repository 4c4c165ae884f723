import Swarm
import Testing

@testable import holdfast

@Suite struct CommandParserTests {
    private func parse(
        _ line: String, _ environment: [String: String] = [:]
    ) throws -> ParsedCommand? {
        let words = line.split(separator: " ").map(String.init)
        guard case .run(let parsed) = try CommandParser(environment: environment).parse(words)
        else { return nil }
        return parsed
    }

    private func failure(_ words: [String], _ environment: [String: String] = [:])
        -> CommandFailure?
    {
        do throws(CommandFailure) {
            _ = try CommandParser(environment: environment).parse(words)
            return nil
        } catch {
            return error
        }
    }

    @Test func `arguments and options may stand in any order`() throws {
        let expected = try parse("create /m --name n --peer a:1 --peer b:2 --foreground")
        #expect(expected?.arguments == ["/m"])
        #expect(expected?.values == ["name": ["n"], "peer": ["a:1", "b:2"]])
        #expect(expected?.flags == ["foreground"])
        #expect(try parse("create --foreground --peer=a:1 --name=n --peer b:2 /m") == expected)
        #expect(try parse("create --name n --foreground --peer a:1 --peer b:2 -- /m") == expected)
    }

    @Test func `a single dash is an argument, and after two dashes everything is`() throws {
        #expect(try parse("join - /m")?.arguments == ["-", "/m"])
        #expect(try parse("unmount -- --odd")?.arguments == ["--odd"])
    }

    @Test func `a value may hold an equals sign, spaces and dashes`() throws {
        let words = ["create", "/m", "--name=a=b --c"]
        guard case .run(let parsed) = try CommandParser(environment: [:]).parse(words) else {
            Issue.record("no command")
            return
        }
        #expect(parsed.value("name") == "a=b --c")
    }

    @Test(
        arguments: [
            ([], "no command given: see holdfast help"),
            (["crate"], "unknown command crate: did you mean create?"),
            (["unmout", "/m"], "unknown command unmout: did you mean unmount?"),
            (["zzzz"], "unknown command zzzz: see holdfast help"),
            (["--json", "status"], "--json before a command: begin with the command"),
            (["status", "--jsno"], "unknown option --jsno: did you mean --json?"),
            (["status", "--zzz"], "unknown option --zzz: see holdfast status --help"),
            (["status", "-j"], "unknown option -j: see holdfast status --help"),
            (["status", "--peer", "a:1"], "unknown option --peer: see holdfast status --help"),
            (["create"], "MOUNTPOINT is missing: usage: holdfast create MOUNTPOINT [options]"),
            (
                ["join", "l"],
                "MOUNTPOINT is missing: usage: holdfast join LINK MOUNTPOINT [options]"
            ),
            (["create", ""], "MOUNTPOINT is empty: usage: holdfast create MOUNTPOINT [options]"),
            (
                ["pause", "a", "b\u{1b}"],
                "\"b\\x1b\" is one word too many: usage: holdfast pause MOUNTPOINT [options]"
            ),
            (["create", "/m", "--name"], "--name needs a value: write --name NAME"),
            (["create", "/m", "--name", "--json"], "--name needs a value: write --name NAME"),
            (["create", "/m", "--name="], "--name is empty: give it a value"),
            (
                ["create", "/m", "--name", "a", "--name", "b"],
                "--name is given twice: give it once"
            ),
            (["status", "--json=yes"], "--json takes no value: write it alone"),
            (
                ["create", "/m", "--transport", "pigeon"],
                "--transport cannot be pigeon: use auto, hyperswarm, direct or disabled"
            ),
            (
                ["create", "/m", "--peer", "host:0"],
                "--peer cannot be host:0: use HOST:PORT, as in 192.0.2.1:4711 or [2001:db8::1]:4711"
            ),
            (["log", "--limit", "0"], "--limit cannot be 0: use a number from 1 to 100000"),
            (["log", "--limit", "x"], "--limit cannot be x: use a number from 1 to 100000"),
            (["help", "crate"], "unknown command crate: did you mean create?"),
        ] as [([String], String)])
    func `a wrong line says what is wrong and what to do`(words: [String], message: String) {
        #expect(failure(words) == CommandFailure(.usage, message))
    }

    @Test func `help and version are asked for in the usual ways`() throws {
        let parser = CommandParser(environment: [:])
        for words in [["help"], ["--help"], ["-h"]] {
            #expect(try parser.parse(words) == .overview)
        }
        for words in [["--version"], ["-V"]] { #expect(try parser.parse(words) == .version) }
        let about = Invocation.run(ParsedCommand(name: .join, wantsHelp: true))
        for words in [
            ["help", "join"], ["join", "--help"], ["join", "-h", "too", "many", "words"],
        ] {
            #expect(try parser.parse(words) == about)
        }
    }

    @Test func `the environment says what the command line does not`() throws {
        let environment = [
            "HOLDFAST_NAME": "from-env", "HOLDFAST_PEER": "a:1,b:2 c:3", "HOLDFAST_HOME": "/h",
            "HOLDFAST_FOREGROUND": "yes", "HOLDFAST_LISTEN": "", "HOLDFAST_OTHER": "x",
        ]
        let parsed = try parse("create /m --name given", environment)
        #expect(parsed?.value("name") == "given")
        #expect(parsed?.values["peer"] == ["a:1", "b:2", "c:3"])
        #expect(parsed?.value("home") == "/h")
        #expect(parsed?.value("listen") == nil)
        #expect(parsed?.isSet("foreground") == true)
        #expect(try parse("create /m --peer z:9", environment)?.values["peer"] == ["z:9"])
        #expect(try parse("mount /m", ["HOLDFAST_FOREGROUND": "0"])?.isSet("foreground") == false)
        // An option of another command does not matter to this one.
        #expect(try parse("status", ["HOLDFAST_PEER": "nonsense"]) != nil)
    }

    @Test func `a wrong value in the environment is blamed on it`() {
        #expect(
            failure(["mount", "/m"], ["HOLDFAST_TRANSPORT": "x"])?.message
                == "HOLDFAST_TRANSPORT cannot be x: use auto, hyperswarm, direct or disabled")
        #expect(
            failure(["status"], ["HOLDFAST_JSON": "perhaps"])?.message
                == "HOLDFAST_JSON is perhaps: set it to 1 or 0")
    }

    @Test(arguments: [
        ("status", "status", 0), ("statsu", "status", 1), ("stat", "status", 2),
        ("", "abc", 3), ("abc", "", 3), ("ca", "abc", 3), ("ab", "ba", 1), ("kitten", "sitting", 3),
    ])
    func `typing errors are counted`(left: String, right: String, errors: Int) {
        #expect(Spelling.errors(Array(left.utf8), Array(right.utf8)) == errors)
    }
}
