"""From the bytes of files to documents: which format they have, and a reader for each. Knows no recipe and no worker.

sniff       which format a file has, by its first bytes
encodings   bytes to text, whatever the encoding
settings    how to read: columns, limits
html_page   one web page to its main text, title and language
warc        the records of a web archive to pages
tables      CSV and TSV rows
readers     one reader for each format: blocks of bytes in, documents and bad records out
"""
