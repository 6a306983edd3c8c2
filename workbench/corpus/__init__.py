"""The corpus workbench: raw sources to clean text with every decision visible, on all cores of one machine.

    sources, blocks, cutting     sources cut into blocks in a fixed order      workers         a map over processes
    extracting, preparing        one block through every layer                 layers, cache   what is kept of it
    measures, deciding, intake   figures, rules over them, all blocks judged   document_table  one row a document
    shingles … near_duplicates   copies, near copies and test items            sides           the held-out split
    writing, assembling          the result, block by block                    report          what became of all

Knows no recipe, no run and no tensors; no module here imports torch.
"""
