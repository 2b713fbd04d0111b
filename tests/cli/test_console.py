"""A command's text: whole lines and no filling off a terminal."""

from rich.table import Table

from spotvortex.cli.console import console


def test_off_a_terminal_lines_are_whole_and_end_with_their_last_word(capsys):
    table = Table.grid(padding=(0, 2))
    long = "word " * 400 + "end"
    for row in (("a", "short"), ("longer", long)):
        table.add_row(*row)
    console().print(table, "  two  words  ")
    assert capsys.readouterr().out == f"a       short\nlonger  {long}\n  two  words\n"
