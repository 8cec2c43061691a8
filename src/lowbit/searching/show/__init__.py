"""Results of a search as tables, words, files, pictures and pages.

All of it reads plain dictionaries that are JSON as they stand: ``result``, one study, and ``comparison``, several
strategies on one space over several seeds.  ``shapes.py`` says what they hold.
"""

from lowbit.searching.show.comparison import comparison_table, conclusions
from lowbit.searching.show.files import save_csv, save_json
from lowbit.searching.show.page import comparison_page, search_page
from lowbit.searching.show.pictures import check_pictures, save_comparison_picture, save_picture
from lowbit.searching.show.table import best_table
from lowbit.searching.show.wording import words

__all__ = [
    "best_table",
    "check_pictures",
    "comparison_page",
    "comparison_table",
    "conclusions",
    "save_comparison_picture",
    "save_csv",
    "save_json",
    "save_picture",
    "search_page",
    "words",
]
