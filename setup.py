"All facts about the package are in settings.ini, which nbdev reads too."
import re
from configparser import ConfigParser
from pathlib import Path

from setuptools import setup

config = ConfigParser()
config.read('settings.ini', encoding='utf-8')
cfg = config['DEFAULT']
lib = cfg['lib_name']
extras = {name: cfg[f'{name}_requirements'].split() for name in
          ('dev', 'fid', 'lion', 'heic', 'tensorboard', 'wandb')}
pythons = [f'Programming Language :: Python :: {version}' for version in ('3', *cfg['pythons'].split())]

def readme():
    "README.md with addresses in place of paths, which lead nowhere from the package index"
    text = Path('README.md').read_text(encoding='utf-8')
    text = re.sub(r'src="(?=nbs/)', f"src=\"{cfg['git_url']}/raw/{cfg['branch']}/", text)
    return re.sub(r'\]\((?=nbs/)', f"]({cfg['git_url']}/blob/{cfg['branch']}/", text)

setup(
    name=lib, version=cfg['version'], description=cfg['description'], keywords=cfg['keywords'].split(),
    long_description=readme(), long_description_content_type='text/markdown',
    author=cfg['author'], author_email=cfg['author_email'], license='Apache-2.0', license_files=['LICENSE'],
    url=cfg['git_url'], project_urls={'Documentation': cfg['doc_host'] + cfg['doc_baseurl'],
                                      'Changelog': f"{cfg['git_url']}/blob/{cfg['branch']}/CHANGELOG.md"},
    classifiers=['Development Status :: 3 - Alpha', f"Intended Audience :: {cfg['audience']}", *pythons,
                 'Topic :: Scientific/Engineering :: Image Processing', 'Typing :: Typed'],
    packages=[lib], package_data={lib: ['py.typed', 'subsets.csv', 'weights/*.safetensors', 'weights/*.md']},
    python_requires=f">={cfg['min_python']}",
    install_requires=cfg['requirements'].split(), extras_require=extras,
    entry_points={'console_scripts': [cfg['console_scripts']], 'nbdev': [f'{lib}={lib}._modidx:d']},
    zip_safe=False)
