"""Questions about traces: TraceQL, rates and durations per service, who calls whom.

    text → lexer.py → parser.py → syntax.py → evaluate.py (what it means, over a Trace)
                                            → plan.py (as SQL, over the store) → search.py

docs/query.md describes the language.
"""
