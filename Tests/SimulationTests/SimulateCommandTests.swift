import Simulation
import Testing

struct SimulateCommandTests {
    @Test func `options are understood`() {
        guard
            case .dht(let options, let sizes) = Command.parse([
                "dht", "--nodes", "100,200", "--seed", "9", "--churn", "5", "--loss", "2",
            ])
        else {
            Issue.record("not understood")
            return
        }
        #expect(sizes == [100, 200] && options.seed == 9 && options.loss == 0.02)
        #expect(options.sessionMean == .seconds(300))
    }

    @Test func `options alone are for devices`() {
        let words = ["--seed", "7", "--devices", "3", "--hours", "2"]
        for arguments in [words, ["devices"] + words] {
            guard case .devices(.run(let options, _, _)) = Command.parse(arguments) else {
                Issue.record("\(arguments) is not understood")
                continue
            }
            #expect(options.seed == 7 && options.devices == 3 && options.hours == 2)
        }
        guard case .devices(.wrong) = Command.parse(["--speed", "2"]) else {
            Issue.record("understood")
            return
        }
        guard case .help = Command.parse(["--help"]) else {
            Issue.record("no help")
            return
        }
    }

    @Test(
        arguments: [
            [], ["fly"], ["dht", "--nodes"], ["dht", "--nodes", "1,x"], ["dht", "--nodes", "-5"],
            ["dht", "--loss", "nan"], ["growth", "--minutes", "0"], ["dht", "--speed", "2"],
        ])
    func `what is not understood is named, with the usage`(arguments: [String]) {
        var output = ""
        var complaint = ""
        let status = Command.run(arguments, write: { output += $0 }, complain: { complaint += $0 })
        #expect(status == 64 && output.isEmpty)
        #expect(complaint.hasPrefix("simulate: ") && complaint.contains(Command.usage))
    }

    @Test func `help is printed for every command`() {
        var output = ""
        #expect(
            Command.run(["attacks", "--help"], write: { output += $0 }, complain: { _ in }) == 0)
        #expect(output == Command.usage)
    }

    @Test func `figures are rounded and tables aligned`() {
        #expect(Figure.decimal(1.25, 1) == "1.3" && Figure.decimal(-0.04, 1) == "0.0")
        #expect(Figure.decimal(3, 0) == "3" && Figure.decimal(0.056, 2) == "0.06")
        #expect(Figure.decimal(.infinity) == "–")
        var table = TextTable(["", "b"])
        table.append(["long", "1"])
        #expect(table.text == "      b\n----  -\nlong  1\n")
    }
}
